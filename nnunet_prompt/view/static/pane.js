// One plane of the image on a canvas: the slice, the mask over it, and where a voxel lies on the screen.

import { drawMarks } from "./marks.js";
import { Pointer } from "./pointer.js";
import { colour } from "./volume.js";

export class Pane {
  constructor(app, plane, first) {
    this.app = app;
    this.plane = plane;
    this.zoom = 1;
    this.pan = [0, 0];
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
    this.pointer = new Pointer(this);
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
    drawMarks(this, context, w, h);
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
