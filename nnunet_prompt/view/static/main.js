// The page: what is open, what the buttons do, and what is shown of it.

import * as api from "./api.js";
import { wire } from "./controls.js";
import { fillLabels } from "./labels.js";
import { Pane } from "./pane.js";
import { fillPrompts, removeChosen } from "./prompts.js";
import { Surface } from "./surface.js";
import { goodWindow, Volume } from "./volume.js";

const $ = (id) => document.getElementById(id);
const IDLE = { labels: [], prompts: {}, steps: 0, undone: 0, automatic: false };

const app = {
  start: null, volume: null, image: null, mask: null, panes: [], active: null,
  state: IDLE, prompts: {}, label: 0, extra: [], cross: [0, 0, 0], window: [0, 65535],
  tool: "point", positive: true, depth: 1, opacity: 0.45, maskShown: true, busy: false,
  chosen: "", imageVersion: 0, maskVersion: 0, hiddenVersion: 0, range: [0, 1],

  fail(error) {
    $("error").textContent = error.message;
  },
  draw() {
    this.panes.forEach((pane) => pane.draw());
  },
  placeOf(value) {
    const place = this.labels().findIndex((label) => label.value === value);
    return place < 0 ? 1 : place + 1;
  },
  // The labels of the server, then those added here that it does not know yet
  labels() {
    const known = this.state.labels;
    const rest = this.extra.filter((value) => !known.some((label) => label.value === value));
    return [...known, ...rest.map((value) => ({ value, name: `label ${value}`, voxels: 0, millilitres: 0 }))];
  },
  moveTo(cross) {
    this.cross = cross;
    this.point(cross);
    this.draw();
  },
  point(voxel) {
    if (!this.image) return;
    const [low, high] = this.range;
    const value = low + (this.image[this.volume.index(voxel)] / 65535) * (high - low);
    const label = this.mask ? this.state.labels[this.mask[this.volume.index(voxel)] - 1] : null;
    $("where").textContent = `voxel ${voxel.join(", ")}   value ${Number(value.toPrecision(4))}${label ? `   ${label.name}` : ""}`;
  },
  setWindow(window) {
    this.window = window;
    this.draw();
  },
  setTool(tool) {
    this.tool = tool;
    check("tool", tool);
    $("grid").style.cursor = tool === "move" ? "crosshair" : tool === "window" ? "ns-resize" : "cell";
  },
  setSign(positive) {
    this.positive = positive;
    check("sign", positive ? "+" : "-");
  },
  setOpacity(share) {
    this.opacity = Math.min(1, Math.max(0, share));
    $("opacity").value = Math.round(100 * this.opacity);
    this.draw();
  },
  toggleMask() {
    this.maskShown = !this.maskShown;
    this.draw();
  },
  choose(value) {
    [this.label, this.chosen] = [value, ""];
    this.showLabels();
    this.draw();
  },
  chooseAt(place) {
    const label = this.labels()[place];
    if (label) this.choose(label.value);
  },
  arrow(key) {
    const pane = this.active ?? this.panes[0];
    pane?.nudge({ ArrowLeft: -1, ArrowRight: 1 }[key] ?? 0, { ArrowUp: -1, ArrowDown: 1 }[key] ?? 0);
  },
  enlarge(pane) {
    const big = (pane ?? this.panes[0])?.element;
    const on = !($("grid").classList.contains("one") && big?.classList.contains("big"));
    this.panes.forEach((one) => one.element.classList.toggle("big", on && one.element === big));
    $("grid").classList.toggle("one", on);
    this.draw();
  },
  fit() {
    this.window = goodWindow(this.image);
    this.panes.forEach((pane) => pane.fit());
  },
  help() {
    $("keys").showModal();
  },
  toggleLock(value) {
    const label = this.labels().find((one) => one.value === value);
    this.do("lock", { label: value, on: !label?.locked });
  },
  prompt(given) {
    if (!this.label) return this.fail(new Error("choose a label first, or add one by its value"));
    this.do("prompt", { label: this.label, ...given });
  },
  removePrompt() {
    removeChosen(this);
  },
  promptAtCross() {
    this.prompt({ kind: "point", position: this.cross, positive: this.positive });
  },
  do(what, given) {
    const words = { automatic: "predicting all structures", prompt: "predicting", remove: "predicting" };
    return this.work(words[what] ?? what, async () => this.take(await api.change(what, given)));
  },
  // One thing at a time, with the time that it takes
  async work(text, what) {
    if (this.busy) return;
    this.busy = true;
    $("error").textContent = "";
    const begin = performance.now();
    const show = () => ($("busy").textContent = `${text} ${((performance.now() - begin) / 1000).toFixed(1)} s`);
    $("busy").className = "on";
    const clock = setInterval(show, 100);
    show();
    try {
      const done = await what();
      $("busy").textContent = done ?? "";
    } catch (error) {
      $("busy").textContent = "";
      this.fail(error);
    } finally {
      clearInterval(clock);
      $("busy").className = "";
      this.busy = false;
      this.showState();
    }
  },
  take({ state, mask }) {
    [this.state, this.mask, this.prompts] = [state, mask, state.prompts];
    this.maskVersion++;
    if (!this.labels().some((label) => label.value === this.label)) this.label = this.labels()[0]?.value ?? 0;
    this.draw();
    return state.seconds ? `done in ${state.seconds.toFixed(2)} s` : "";
  },
  open(text, given) {
    return this.work(`opening ${text}`, async () => {
      const found = await api.openCase(await given());
      this.range = found.ranges[0];
      const image = await api.getImage(0);
      [this.image, this.mask, this.state, this.prompts, this.extra] = [image, null, IDLE, {}, []];
      this.imageVersion++;
      this.volume = new Volume(found.shape, found.affine);
      this.window = goodWindow(image);
      this.cross = found.shape.map((n) => Math.floor((n - 1) / 2));
      this.ranges = found.ranges;
      showCase(found);
      buildPanes();
      this.take(await api.change("state"));
      return `opened ${found.case}`;
    });
  },
  showChannel(channel) {
    this.work("loading", async () => {
      this.image = await api.getImage(channel);
      this.range = this.ranges[channel];
      this.window = goodWindow(this.image);
      this.imageVersion++;
      this.draw();
    });
  },
  save() {
    if (!this.volume) return;
    this.work("saving", async () => {
      if (!this.start.output) return `downloaded ${await api.download("mask")}`;
      return `saved ${(await api.save()).files.join(", ")}`;
    });
  },
  showState() {
    const open = this.volume !== null;
    $("undo").disabled = !this.state.steps;
    $("redo").disabled = !this.state.undone;
    $("reset").disabled = !(this.state.steps || this.state.automatic);
    for (const id of ["save", "download", "export", "import", "automatic"]) $(id).disabled = !open;
    $("automatic").checked = this.state.automatic;
    this.showLabels();
  },
  showLabels() {
    const focused = document.activeElement?.dataset?.key;
    fillLabels(this);
    fillPrompts(this);
    if (focused) document.querySelector(`[data-key="${focused}"]`)?.focus();
  },
};

function check(group, value) {
  for (const button of document.querySelectorAll(`[data-${group}]`)) {
    button.setAttribute("aria-checked", button.dataset[group] === value);
  }
}

function showCase(found) {
  const sizes = app.volume.spacing.map((s) => Number(s.toPrecision(3))).join(" × ");
  $("empty").hidden = true;
  $("about").textContent = [`${found.shape.join(" × ")} voxels of ${sizes} mm`, ...found.notes].join(". ");
  $("slabs").hidden = false;
  $("depth").max = Math.max(...found.shape);
  $("channels").hidden = found.channels < 2;
  $("channel").replaceChildren(...found.ranges.map((_, n) => new Option(`channel ${n}`, n)));
  document.title = `${found.case} – nnunet-prompt`;
  if (![...$("cases").options].some((o) => o.text === found.case && o.selected)) $("cases").value = "";
}

function buildPanes() {
  app.panes.forEach((pane) => (pane.close(), pane.element.remove()));
  app.panes = app.volume.planes.map((plane, n) => new Pane(app, plane, n === 0));
  app.panes.push(new Surface(app));
  app.active = app.panes[0];
  $("grid").classList.remove("one");
  $("grid").append(...app.panes.map((pane) => pane.element));
}

async function begin() {
  wire(app);
  app.setTool("point");
  app.setSign(true);
  app.showState();
  try {
    app.start = await api.getJson("/api/start");
  } catch (error) {
    return app.fail(error);
  }
  const { cases, structures, output, model, channels } = app.start;
  app.state = { ...IDLE, labels: structures.map((s) => ({ ...s, voxels: 0, millilitres: 0 })) };
  app.label = structures[0]?.value ?? 0;
  const title = cases.length ? `choose one of ${cases.length}` : "none given: upload one";
  $("cases").replaceChildren(new Option(title, "", true, true), ...cases.map((c) => new Option(c.name, c.id)));
  $("cases").options[0].disabled = true;
  $("about").textContent = `${model || "model"}${channels > 1 ? `, ${channels} channels` : ""}`;
  $("save").title = output ? `Save to ${output} (Ctrl+S)` : "Download the mask (Ctrl+S)";
  app.showState();
  if (cases.length === 1) {
    $("cases").value = cases[0].id;
    app.open(cases[0].name, () => ({ case: cases[0].id }));
  }
}

begin();
