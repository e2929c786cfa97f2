// The list of labels: a row for each, with its colour, its size and its lock.

import { colour } from "./volume.js";

export function fillLabels(app) {
  document.getElementById("labels").replaceChildren(...app.labels().map((label, n) => rowOf(app, label, n)));
}

function rowOf(app, label, n) {
  const row = document.createElement("li");
  row.setAttribute("role", "option");
  row.setAttribute("aria-selected", label.value === app.label);
  row.tabIndex = 0;
  row.dataset.key = `row-${label.value}`;
  row.title = `${label.name}, value ${label.value}`;
  const square = document.createElement("i");
  square.style.background = `rgb(${colour(n + 1)})`;
  const name = Object.assign(document.createElement("b"), { textContent: label.name });
  const size = Object.assign(document.createElement("small"), { textContent: label.voxels ? `${label.millilitres.toFixed(1)} ml` : "" });
  const lock = document.createElement("button");
  lock.append(icon(label.locked ? "M4 7.5h8v6H4zM5.5 7.5V5a2.5 2.5 0 0 1 5 0v2.5" : "M4 7.5h8v6H4zM5.5 7.5V4.5a2.5 2.5 0 0 1 5-.6"));
  lock.className = label.locked ? "" : "open";
  lock.dataset.key = `lock-${label.value}`;
  lock.title = label.locked ? "Unlock (L)" : "Lock: its voxels stay as they are (L)";
  lock.setAttribute("aria-label", `${label.locked ? "Unlock" : "Lock"} ${label.name}`);
  lock.disabled = !app.volume;
  lock.onclick = (event) => {
    event.stopPropagation();
    app.toggleLock(label.value);
  };
  row.append(square, name, size, lock);
  row.onclick = () => app.choose(label.value);
  row.onkeydown = (event) => {
    if (event.target === row && [" ", "Enter"].includes(event.key)) {
      event.preventDefault();
      app.choose(label.value);
    }
  };
  return row;
}

function icon(path) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}
