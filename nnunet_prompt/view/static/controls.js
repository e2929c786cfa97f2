// The buttons, fields and files of the page, and what they do.

import * as api from "./api.js";
import { fillList, listen } from "./keys.js";

const $ = (id) => document.getElementById(id);

export function wire(app) {
  for (const button of document.querySelectorAll("[data-tool]")) button.onclick = () => app.setTool(button.dataset.tool);
  for (const button of document.querySelectorAll("[data-sign]")) button.onclick = () => app.setSign(button.dataset.sign === "+");
  for (const what of ["undo", "redo", "reset"]) $(what).onclick = () => app.do(what);
  $("save").onclick = () => app.save();
  $("help").onclick = () => app.help();
  $("automatic").onchange = (event) => app.do("automatic", { on: event.target.checked });
  $("opacity").oninput = (event) => app.setOpacity(event.target.value / 100);
  $("depth").oninput = (event) => (app.depth = Math.max(1, Math.floor(Number(event.target.value)) || 1));
  $("channel").onchange = (event) => app.showChannel(Number(event.target.value));
  $("cases").onchange = (event) => app.open(event.target.selectedOptions[0].text, () => ({ case: event.target.value }));
  $("upload").onchange = (event) => (openFiles(app, event.target.files), (event.target.value = ""));
  $("download").onclick = () => app.work("downloading", async () => `downloaded ${await api.download("mask")}`);
  $("export").onclick = () => app.work("downloading", async () => `downloaded ${await api.download("prompts")}`);
  $("import").onchange = (event) => {
    const [file] = event.target.files;
    if (file) app.work(`reading ${file.name}`, async () => app.take(await api.readPrompts(file)));
    event.target.value = "";
  };
  $("other").onsubmit = (event) => {
    event.preventDefault();
    const value = Number($("value").value);
    if (!Number.isInteger(value) || value < 1) return app.fail(new Error("a label is a whole number above 0"));
    app.extra.push(value);
    $("value").value = "";
    app.choose(value);
  };
  document.addEventListener("dragover", (event) => (event.preventDefault(), $("grid").classList.add("drop")));
  document.addEventListener("dragleave", () => $("grid").classList.remove("drop"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("grid").classList.remove("drop");
    openFiles(app, event.dataTransfer.files);
  });
  listen(app);
  fillList($("keylist"));
}

function openFiles(app, list) {
  const files = [...list];
  if (!files.length) return;
  files.sort((a, b) => (a.name < b.name ? -1 : 1)); // channels: _0000 before _0001
  app.open(files[0].name, async () => {
    const uploads = [];
    for (const file of files) uploads.push(await api.upload(file));
    return { uploads };
  });
}
