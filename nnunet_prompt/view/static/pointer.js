// The pointer on a plane: what a press, a drag and the wheel do with each tool.

export class Pointer {
  constructor(pane) {
    this.pane = pane;
    this.drag = null;
    const { canvas } = pane;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("focus", () => (pane.app.active = pane));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  down(event) {
    const { pane } = this;
    const { app } = pane;
    pane.canvas.setPointerCapture(event.pointerId);
    const from = pane.toVoxel(event);
    const start = [event.clientX, event.clientY];
    let kind = app.tool;
    if (event.button === 1 || event.shiftKey) kind = "pan";
    else if (event.button === 2 && kind === "move") kind = "window";
    const inside = from.every((v, a) => v > -0.5 && v < app.volume.shape[a] - 0.5);
    if (["point", "scribble", "box"].includes(kind) && (!inside && kind !== "box" || app.busy)) kind = "none";
    const positive = event.button === 2 ? !app.positive : app.positive;
    this.drag = { kind, start, from, to: from, path: [app.volume.nearest(from)], positive, pan: pane.pan, window: app.window };
    if (kind === "move") app.moveTo(app.volume.nearest(from));
    event.preventDefault();
    pane.canvas.focus({ preventScroll: true });
  }

  move(event) {
    const { drag, pane } = this;
    const { app } = pane;
    const at = pane.toVoxel(event);
    app.point(app.volume.nearest(at));
    if (!drag) return;
    drag.to = at;
    const [dx, dy] = [event.clientX - drag.start[0], event.clientY - drag.start[1]];
    if (drag.kind === "move") app.moveTo(app.volume.nearest(at));
    if (drag.kind === "pan") pane.pan = [drag.pan[0] + dx, drag.pan[1] + dy];
    if (drag.kind === "window") {
      const [low, high] = drag.window;
      const width = Math.max(64, (high - low) * Math.exp(dx / 200));
      const centre = (low + high) / 2 + (dy * (high - low)) / 300;
      app.setWindow([centre - width / 2, centre + width / 2]);
    }
    if (drag.kind === "scribble") {
      const last = drag.path.at(-1);
      const next = at.map((v, a) => Math.min(app.volume.shape[a] - 1, Math.max(0, Math.round(v * 4) / 4)));
      if (Math.hypot(...next.map((v, a) => v - last[a])) >= 0.7) drag.path.push(next);
    }
    pane.draw();
  }

  up() {
    const { drag } = this;
    const { app } = this.pane;
    this.cancel();
    if (!drag) return;
    const { positive } = drag;
    if (drag.kind === "point") app.prompt({ kind: "point", position: app.volume.nearest(drag.from), positive });
    if (drag.kind === "scribble") app.prompt({ kind: "scribble", path: drag.path, positive });
    if (drag.kind === "box") app.prompt({ kind: "box", ...this.boxOf(drag), positive });
  }

  cancel() {
    this.drag = null;
    this.pane.draw();
  }

  wheel(event) {
    event.preventDefault();
    if (!event.ctrlKey) return this.pane.step(Math.sign(event.deltaY));
    this.pane.zoomBy(Math.exp(-event.deltaY / 400), event);
  }

  // The voxels that a dragged box covers, half-open, `depth` slices thick
  boxOf({ from, to }) {
    const { app, plane, slice } = this.pane;
    const [a, b] = [app.volume.nearest(from), app.volume.nearest(to)];
    const lower = a.map((v, axis) => Math.min(v, b[axis]));
    const upper = a.map((v, axis) => Math.max(v, b[axis]) + 1);
    const first = slice - Math.floor((app.depth - 1) / 2);
    lower[plane.through] = Math.max(0, first);
    upper[plane.through] = Math.min(app.volume.shape[plane.through], first + app.depth);
    return { lower, upper };
  }
}
