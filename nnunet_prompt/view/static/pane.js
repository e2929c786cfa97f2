// One plane of the image on a canvas: the slice, the mask over it, the prompts, the crosshair; and the pointer on it.

import { colour } from "./volume.js";

export class Pane {
  constructor(app, plane, first) {
    this.app = app;
    this.plane = plane;
    this.zoom = 1;
    this.pan = [0, 0];
    this.drag = null;
    this.picture = document.createElement("canvas");
    this.overlay = document.createElement("canvas");
    this.element = document.createElement("div");
    this.element.className = first ? "pane first" : "pane";
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", `${plane.name} plane: arrow keys move the crosshair, Enter sets a prompt`);
    this.title = document.createElement("div");
    this.title.className = "title";
    this.bar = document.createElement("input");
    Object.assign(this.bar, { type: "range", className: "slice", min: 0, max: app.volume.shape[plane.through] - 1 });
    this.bar.setAttribute("aria-label", `${plane.name} slice`);
    this.grow = document.createElement("button");
    Object.assign(this.grow, { className: "grow", textContent: "⤢", title: "Enlarge (F)" });
    this.grow.setAttribute("aria-label", `Enlarge the ${plane.name} plane`);
    this.element.append(this.canvas, this.title, this.grow, this.bar);
    this.grow.onclick = () => app.enlarge(this);
    this.bar.oninput = () => this.go(Number(this.bar.value));
    this.listen();
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.element);
  }

  get slice() {
    return this.app.cross[this.plane.through];
  }

  go(slice) {
    const cross = [...this.app.cross];
    cross[this.plane.through] = slice;
    this.app.moveTo(cross);
  }

  // Screen pixels per mm, and the left upper corner of the slice
  get frame() {
    const { volume } = this.app;
    const [w, h] = [this.element.clientWidth, this.element.clientHeight];
    const mm = [this.plane.across, this.plane.down].map((a) => volume.shape[a] * volume.spacing[a]);
    const scale = Math.min(w / mm[0], h / mm[1]) * 0.97 * this.zoom;
    const size = [mm[0] * scale, mm[1] * scale];
    return {
      corner: [(w - size[0]) / 2 + this.pan[0], (h - size[1]) / 2 + this.pan[1]],
      per: [volume.spacing[this.plane.across] * scale, volume.spacing[this.plane.down] * scale],
      size,
    };
  }

  toScreen(voxel) {
    const { corner, per } = this.frame;
    const at = this.app.volume.toSlice(this.plane, voxel);
    return [corner[0] + at[0] * per[0], corner[1] + at[1] * per[1]];
  }

  toVoxel(event) {
    const { corner, per } = this.frame;
    const box = this.canvas.getBoundingClientRect();
    const at = [(event.clientX - box.left - corner[0]) / per[0], (event.clientY - box.top - corner[1]) / per[1]];
    return this.app.volume.fromSlice(this.plane, at, this.slice);
  }

  draw() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => this.paint());
  }

  paint() {
    this.waiting = 0;
    const { app, plane, canvas } = this;
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [this.element.clientWidth, this.element.clientHeight];
    if (!w || !h) return;
    if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
      [canvas.width, canvas.height] = [Math.round(w * ratio), Math.round(h * ratio)];
    }
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, w, h);
    this.fill();
    const { corner, size } = this.frame;
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.picture, ...corner, ...size);
    if (app.maskShown && app.mask) {
      context.imageSmoothingEnabled = false;
      context.drawImage(this.overlay, ...corner, ...size);
    }
    this.drawCross(context);
    this.drawPrompts(context);
    this.drawDrag(context);
    this.drawEnds(context, w, h);
    const total = app.volume.shape[plane.through];
    this.title.textContent = `${plane.name}  ${this.slice + 1} / ${total}`;
    this.bar.value = this.slice;
    this.bar.hidden = total < 2;
  }

  // Fills the pictures of the slice and of its mask, unless they are filled already
  fill() {
    const { app, plane } = this;
    const { volume, image, mask } = app;
    const [w, h] = [volume.shape[plane.across], volume.shape[plane.down]];
    const state = [this.slice, app.imageVersion, ...app.window].join();
    if (state !== this.filled) {
      this.filled = state;
      [this.picture.width, this.picture.height] = [w, h];
      const context = this.picture.getContext("2d");
      const pixels = context.createImageData(w, h);
      const words = new Uint32Array(pixels.data.buffer);
      const [low, high] = app.window;
      const scale = 255 / Math.max(1, high - low);
      volume.eachOf(plane, this.slice, (place, index) => {
        const grey = Math.max(0, Math.min(255, (image[index] - low) * scale)) | 0;
        words[place] = 0xff000000 | (grey << 16) | (grey << 8) | grey;
      });
      context.putImageData(pixels, 0, 0);
    }
    const over = [this.slice, app.maskVersion, app.opacity, app.hiddenVersion].join();
    if (mask && over !== this.filledOver) {
      this.filledOver = over;
      this.fillOverlay(w, h);
    }
  }

  fillOverlay(w, h) {
    const { app, plane } = this;
    [this.overlay.width, this.overlay.height] = [w, h];
    const context = this.overlay.getContext("2d");
    const pixels = context.createImageData(w, h);
    const labels = new Uint8Array(w * h);
    app.volume.eachOf(plane, this.slice, (place, index) => (labels[place] = app.mask[index]));
    const inner = Math.round(255 * app.opacity);
    const edge = Math.min(255, inner + 90);
    for (let y = 0, p = 0; y < h; y++) {
      for (let x = 0; x < w; x++, p++) {
        const label = labels[p];
        if (!label) continue;
        const border =
          (x > 0 && labels[p - 1] !== label) || (x < w - 1 && labels[p + 1] !== label) ||
          (y > 0 && labels[p - w] !== label) || (y < h - 1 && labels[p + w] !== label);
        pixels.data.set(colour(label), 4 * p);
        pixels.data[4 * p + 3] = inner && border ? edge : inner;
      }
    }
    context.putImageData(pixels, 0, 0);
  }

  drawCross(context) {
    const [x, y] = this.toScreen(this.app.cross);
    const { corner, size } = this.frame;
    context.strokeStyle = "rgba(110,160,255,.55)";
    context.lineWidth = 1;
    context.beginPath();
    for (const [a, b, c, d] of [
      [corner[0], y, x - 9, y], [x + 9, y, corner[0] + size[0], y],
      [x, corner[1], x, y - 9], [x, y + 9, x, corner[1] + size[1]],
    ]) {
      context.moveTo(a, b);
      context.lineTo(c, d);
    }
    context.stroke();
  }

  drawPrompts(context) {
    const { through } = this.plane;
    for (const [value, said] of Object.entries(this.app.prompts)) {
      const place = this.app.placeOf(Number(value));
      for (const one of said.points ?? []) {
        if (Math.abs(one.position[through] - this.slice) < 0.51) this.drawPoint(context, one, place);
      }
      for (const one of said.boxes ?? []) {
        if (one.lower[through] <= this.slice && this.slice < one.upper[through]) this.drawBox(context, one, place);
      }
      for (const one of said.scribbles ?? []) {
        if (one.path.some((v) => Math.abs(v[through] - this.slice) < 0.51)) this.drawLine(context, one.path, one.positive, place);
      }
    }
  }

  drawPoint(context, { position, positive }, place) {
    const [x, y] = this.toScreen(position);
    context.lineWidth = 2;
    context.fillStyle = positive ? `rgb(${colour(place)})` : "#fff";
    context.strokeStyle = positive ? "#fff" : `rgb(${colour(place)})`;
    context.beginPath();
    context.arc(x, y, 6, 0, 7);
    context.fill();
    context.stroke();
    context.strokeStyle = positive ? "#fff" : "#111";
    context.beginPath();
    context.moveTo(x - 3, y);
    context.lineTo(x + 3, y);
    if (positive) {
      context.moveTo(x, y - 3);
      context.lineTo(x, y + 3);
    }
    context.stroke();
  }

  style(context, positive, place) {
    context.lineWidth = 2;
    context.strokeStyle = `rgb(${colour(place)})`;
    context.setLineDash(positive ? [] : [5, 4]);
    context.shadowColor = "#000";
    context.shadowBlur = 2;
  }

  drawBox(context, { lower, upper, positive }, place) {
    const [a, b] = [lower, upper].map((corner) => this.toScreen(corner.map((v) => v - 0.5)));
    context.save();
    this.style(context, positive, place);
    context.strokeRect(Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1]));
    context.restore();
  }

  drawLine(context, path, positive, place) {
    context.save();
    this.style(context, positive, place);
    context.lineWidth = 3;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    path.forEach((v, n) => context[n ? "lineTo" : "moveTo"](...this.toScreen(v)));
    if (path.length === 1) context.lineTo(...this.toScreen(path[0]));
    context.stroke();
    context.restore();
  }

  drawDrag(context) {
    const { drag, app } = this;
    const place = app.placeOf(app.label);
    if (drag?.kind === "box") this.drawBox(context, { ...this.boxOf(drag), positive: drag.positive }, place);
    if (drag?.kind === "scribble") this.drawLine(context, drag.path, drag.positive, place);
  }

  drawEnds(context, w, h) {
    const [[left, right], [top, bottom]] = this.plane.ends;
    context.font = "600 12px system-ui, sans-serif";
    context.textAlign = "center";
    context.fillStyle = "#ffd479";
    context.shadowColor = "#000";
    context.shadowBlur = 3;
    context.fillText(left, 12, h / 2 + 4);
    context.fillText(right, w - 12, h / 2 + 4);
    if (w > 280) context.fillText(top, w / 2, 16); // else the title is there
    context.fillText(bottom, w / 2, h - 24);
    context.shadowBlur = 0;
  }

  // The voxels that a dragged box covers, half-open, `depth` slices thick
  boxOf({ from, to }) {
    const { app, plane } = this;
    const [a, b] = [app.volume.nearest(from), app.volume.nearest(to)];
    const lower = a.map((v, axis) => Math.min(v, b[axis]));
    const upper = a.map((v, axis) => Math.max(v, b[axis]) + 1);
    const first = this.slice - Math.floor((app.depth - 1) / 2);
    lower[plane.through] = Math.max(0, first);
    upper[plane.through] = Math.min(app.volume.shape[plane.through], first + app.depth);
    return { lower, upper };
  }

  listen() {
    const { canvas } = this;
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("focus", () => (this.app.active = this));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  down(event) {
    const { app } = this;
    this.canvas.setPointerCapture(event.pointerId);
    const from = this.toVoxel(event);
    const start = [event.clientX, event.clientY];
    let kind = app.tool;
    if (event.button === 1 || event.shiftKey) kind = "pan";
    else if (event.button === 2 && kind === "move") kind = "window";
    const inside = from.every((v, a) => v > -0.5 && v < app.volume.shape[a] - 0.5);
    if (["point", "scribble", "box"].includes(kind) && (!inside && kind !== "box" || app.busy)) kind = "none";
    const positive = event.button === 2 ? !app.positive : app.positive;
    this.drag = { kind, start, from, to: from, path: [app.volume.nearest(from)], positive, pan: this.pan, window: app.window };
    if (kind === "move") app.moveTo(app.volume.nearest(from));
    event.preventDefault();
    this.canvas.focus({ preventScroll: true });
  }

  move(event) {
    const { app, drag } = this;
    const at = this.toVoxel(event);
    app.point(app.volume.nearest(at), this);
    if (!drag) return;
    drag.to = at;
    const [dx, dy] = [event.clientX - drag.start[0], event.clientY - drag.start[1]];
    if (drag.kind === "move") app.moveTo(app.volume.nearest(at));
    if (drag.kind === "pan") this.pan = [drag.pan[0] + dx, drag.pan[1] + dy];
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
    this.draw();
  }

  up() {
    const { app, drag } = this;
    this.drag = null;
    this.draw();
    if (!drag) return;
    const { positive } = drag;
    if (drag.kind === "point") app.prompt({ kind: "point", position: app.volume.nearest(drag.from), positive });
    if (drag.kind === "scribble") app.prompt({ kind: "scribble", path: drag.path, positive });
    if (drag.kind === "box") app.prompt({ kind: "box", ...this.boxOf(drag), positive });
  }

  cancel() {
    this.drag = null;
    this.draw();
  }

  wheel(event) {
    event.preventDefault();
    if (!event.ctrlKey) return this.step(Math.sign(event.deltaY));
    this.zoomBy(Math.exp(-event.deltaY / 400), event);
  }

  zoomBy(factor, event) {
    const box = this.canvas.getBoundingClientRect();
    const at = [event.clientX - box.left - box.width / 2, event.clientY - box.top - box.height / 2];
    const zoom = Math.min(40, Math.max(0.5, this.zoom * factor));
    this.pan = this.pan.map((p, n) => at[n] - ((at[n] - p) * zoom) / this.zoom);
    this.zoom = zoom;
    this.draw();
  }

  step(count) {
    const last = this.app.volume.shape[this.plane.through] - 1;
    this.go(Math.min(last, Math.max(0, this.slice + count)));
  }

  // Moves the crosshair on the screen by whole voxels
  nudge(dx, dy) {
    const { across, down, flipAcross, flipDown } = this.plane;
    const cross = [...this.app.cross];
    cross[across] += flipAcross ? -dx : dx;
    cross[down] += flipDown ? -dy : dy;
    this.app.moveTo(this.app.volume.nearest(cross));
  }

  fit() {
    this.zoom = 1;
    this.pan = [0, 0];
    this.draw();
  }

  close() {
    this.sizes.disconnect();
  }
}
