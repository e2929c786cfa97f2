// The keyboard: one table makes the shortcuts and the list that `?` shows.

export const KEYS = [
  ["1 – 9", "choose a label", (app, key) => app.chooseAt(Number(key) - 1), /^[1-9]$/],
  ["V", "move the crosshair", (app) => app.setTool("move")],
  ["P", "point", (app) => app.setTool("point")],
  ["B", "box", (app) => app.setTool("box")],
  ["S", "scribble", (app) => app.setTool("scribble")],
  ["W", "brightness and contrast: drag", (app) => app.setTool("window")],
  ["X", "inside or outside the structure", (app) => app.setSign(!app.positive)],
  ["Enter", "point at the crosshair", (app) => app.promptAtCross()],
  ["Delete", "remove the prompt that is chosen in the list", (app) => app.removePrompt()],
  ["Z", "undo (also Ctrl+Z)", (app) => app.do("undo")],
  ["Y", "redo (also Ctrl+Y)", (app) => app.do("redo")],
  ["A", "automatic structures on or off", (app) => app.do("automatic", { on: !app.state.automatic })],
  ["L", "lock or unlock the label", (app) => app.toggleLock(app.label)],
  ["H", "hide or show the mask", (app) => app.toggleMask()],
  ["[", "less opaque mask", (app) => app.setOpacity(app.opacity - 0.1)],
  ["]", "more opaque mask", (app) => app.setOpacity(app.opacity + 0.1)],
  ["PageUp", "slice before (also ,)", (app) => app.active?.step(-1)],
  ["PageDown", "slice after (also .)", (app) => app.active?.step(1)],
  ["Arrows", "move the crosshair", (app, key) => app.arrow(key), /^Arrow/],
  ["F", "enlarge the plane, or show all", (app) => app.enlarge(app.active)],
  ["R", "fit the view again", (app) => app.fit()],
  ["Ctrl+S", "save the mask", (app) => app.save()],
  ["?", "this list", (app) => app.help()],
  ["Wheel", "through the slices", null],
  ["Ctrl + wheel", "zoom", null],
  ["Shift + drag", "pan (also middle button)", null],
  ["Right button", "the other sign; with Move: brightness and contrast", null],
];
const CONTROL = { z: "undo", y: "redo" };
const ALSO = { ",": "PageUp", ".": "PageDown" };

export function listen(app) {
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input:not([type=range]):not([type=checkbox]), select, dialog")) return;
    if (event.altKey) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (event.ctrlKey || event.metaKey) {
      if (key === "s") app.save();
      else if (key in CONTROL) app.do(key === "z" && event.shiftKey ? "redo" : CONTROL[key]);
      else return;
      return event.preventDefault();
    }
    const onCanvas = event.target.tagName === "CANVAS" || event.target === document.body;
    if (!onCanvas && (key === "Enter" || key.startsWith("Arrow") || key.startsWith("Page"))) return;
    const name = ALSO[key] ?? key;
    const found = KEYS.find(([text, , act, pattern]) => act && (pattern ? pattern.test(name) : text.toLowerCase() === name.toLowerCase()));
    if (!found || (key !== "?" && !app.volume)) return;
    event.preventDefault();
    found[2](app, event.key);
  });
}

export function fillList(table) {
  for (const [key, text] of KEYS) {
    const row = table.insertRow();
    row.insertCell().append(Object.assign(document.createElement("kbd"), { textContent: key }));
    row.insertCell().textContent = text;
  }
}
