// The list of the prompts of the chosen label: a row for each, which shows its place, and a button that deletes it.

const KINDS = { point: "points", box: "boxes", scribble: "scribbles" };

// Those of a label as the server counts them, by kind
function listed(app) {
  const said = app.prompts[app.label] ?? {};
  return Object.entries(KINDS).flatMap(([kind, name]) => (said[name] ?? []).map((one, number) => ({ kind, number, one })));
}

export function fillPrompts(app) {
  const found = listed(app);
  document.getElementById("prompted").hidden = !found.length;
  document.getElementById("prompts").replaceChildren(...found.map((prompt) => rowOf(app, prompt)));
}

// Deletes the prompt whose row has the focus or was chosen last
export function removeChosen(app) {
  const chosen = listed(app).find((prompt) => keyOf(app, prompt) === app.chosen);
  if (!chosen) return app.fail(new Error("choose a prompt in the list first"));
  remove(app, chosen);
}

function remove(app, { kind, number }) {
  app.chosen = "";
  app.do("remove", { label: app.label, kind, number });
}

function keyOf(app, { kind, number }) {
  return `prompt-${app.label}-${kind}-${number}`;
}

function placeOf({ kind, one }) {
  if (kind === "point") return one.position;
  if (kind === "box") return one.lower.map((low, axis) => (low + one.upper[axis] - 1) / 2);
  return one.path[Math.floor(one.path.length / 2)];
}

function rowOf(app, prompt) {
  const row = document.createElement("li");
  const at = placeOf(prompt).map(Math.round);
  const text = `${prompt.kind} at ${at.join(", ")}`;
  const show = document.createElement("button");
  const sign = Object.assign(document.createElement("b"), { textContent: prompt.one.positive ? "+" : "\u2212" });
  sign.setAttribute("aria-label", prompt.one.positive ? "inside" : "outside");
  row.className = prompt.one.positive ? "plus" : "minus";
  show.append(sign, ` ${text}`);
  show.className = "show";
  show.title = "Move the crosshair there (Delete removes the prompt)";
  show.dataset.key = keyOf(app, prompt);
  show.setAttribute("aria-pressed", show.dataset.key === app.chosen);
  show.onclick = () => {
    app.chosen = show.dataset.key;
    app.moveTo(app.volume.nearest(at));
    app.showLabels();
  };
  show.onfocus = () => (app.chosen = show.dataset.key);
  const cross = Object.assign(document.createElement("button"), { textContent: "\u00d7", title: "Delete (Delete)" });
  cross.setAttribute("aria-label", `Delete the ${text}`);
  cross.onclick = () => remove(app, prompt);
  row.append(show, cross);
  return row;
}
