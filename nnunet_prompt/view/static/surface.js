// The mask in three dimensions: the voxels of its surface as shaded points, turned with the pointer or the arrow keys.

import { colour } from "./volume.js";

const MOST = 250000;

// The steps to the voxels within a radius in mm, each with its pull on a normal
function neighbours(spacing, radius) {
  const found = [];
  const reach = spacing.map((s) => Math.min(4, Math.max(1, Math.floor(radius / s))));
  for (let i = -reach[0]; i <= reach[0]; i++) for (let j = -reach[1]; j <= reach[1]; j++) for (let k = -reach[2]; k <= reach[2]; k++) {
    const at = [i * spacing[0], j * spacing[1], k * spacing[2]];
    const square = at[0] ** 2 + at[1] ** 2 + at[2] ** 2;
    if (square) found.push([i, j, k, ...at.map((v) => v / square)]);
  }
  return found;
}

export class Surface {
  constructor(app) {
    this.app = app;
    this.turn = [-0.5, 0.35];
    this.zoom = 1;
    this.element = document.createElement("div");
    this.element.className = "pane";
    this.canvas = document.createElement("canvas");
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", "Mask in 3D: drag or use the arrow keys to rotate it");
    this.title = document.createElement("div");
    this.title.className = "title";
    this.title.textContent = "3D";
    this.grow = document.createElement("button");
    Object.assign(this.grow, { className: "grow", textContent: "⤢", title: "Enlarge (F)" });
    this.grow.setAttribute("aria-label", "Enlarge the 3D view");
    this.grow.onclick = () => app.enlarge(this);
    this.element.append(this.canvas, this.title, this.grow);
    this.canvas.onfocus = () => (app.active = this);
    this.canvas.onpointerdown = (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.last = [event.clientX, event.clientY];
    };
    this.canvas.onpointermove = (event) => {
      if (!this.last) return;
      this.nudge((event.clientX - this.last[0]) / 5, (event.clientY - this.last[1]) / 5);
      this.last = [event.clientX, event.clientY];
    };
    this.canvas.onpointerup = this.canvas.onpointercancel = () => (this.last = null);
    this.canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.step(Math.sign(event.deltaY));
    }, { passive: false });
    this.sizes = new ResizeObserver(() => this.draw());
    this.sizes.observe(this.element);
  }

  nudge(dx, dy) {
    this.turn = [this.turn[0] + dx / 20, Math.max(-1.57, Math.min(1.57, this.turn[1] + dy / 20))];
    this.draw();
  }

  step(count) {
    this.zoom = Math.max(0.3, Math.min(8, this.zoom * Math.exp(-count / 8)));
    this.draw();
  }

  fit() {
    this.turn = [-0.5, 0.35];
    this.zoom = 1;
    this.draw();
  }

  draw() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => this.paint());
  }

  // Points of the surface in mm around its middle: x, y, z, normal x, y, z, label
  collect() {
    const { volume, mask, maskVersion } = this.app;
    if (this.collected === maskVersion) return;
    this.collected = maskVersion;
    const [X, Y, Z] = volume.shape;
    const found = [];
    const thin = Math.min(...volume.spacing);
    const fill = volume.spacing.map((s) => Math.min(12, Math.max(1, Math.round(s / thin))));
    const axes = this.axes();
    const around = neighbours(volume.spacing, 4 * thin);
    for (let k = 0, p = 0; k < Z; k++) for (let j = 0; j < Y; j++) for (let i = 0; i < X; i++, p++) {
      const label = mask[p];
      if (!label) continue;
      const same = (di, dj, dk) => {
        const [a, b, c] = [i + di, j + dj, k + dk];
        return a >= 0 && b >= 0 && c >= 0 && a < X && b < Y && c < Z && mask[a + X * (b + Y * c)] === label ? 1 : 0;
      };
      const whole = same(-1, 0, 0) && same(1, 0, 0) && same(0, -1, 0) && same(0, 1, 0) && same(0, 0, -1) && same(0, 0, 1);
      if (whole) continue;
      const g = [0, 0, 0];
      for (const [di, dj, dk, x, y, z] of around) {
        if (!same(di, dj, dk)) continue;
        g[0] -= x;
        g[1] -= y;
        g[2] -= z;
      }
      found.push([i, j, k, ...g, label]);
    }
    const every = Math.max(1, Math.ceil((found.length * fill[0] * fill[1] * fill[2]) / MOST));
    const points = [];
    let count = 0;
    const low = [Infinity, Infinity, Infinity], high = [-Infinity, -Infinity, -Infinity];
    for (const [i, j, k, gx, gy, gz, label] of found) {
      for (let a = 0; a < fill[0]; a++) for (let b = 0; b < fill[1]; b++) for (let c = 0; c < fill[2]; c++) {
        if (count++ % every) continue;
        const at = [i + (a + 0.5) / fill[0] - 0.5, j + (b + 0.5) / fill[1] - 0.5, k + (c + 0.5) / fill[2] - 0.5];
        const place = axes.map(([axis, sign]) => sign * at[axis] * volume.spacing[axis]);
        const normal = axes.map(([axis, sign]) => sign * [gx, gy, gz][axis]);
        place.forEach((v, n) => { low[n] = Math.min(low[n], v); high[n] = Math.max(high[n], v); });
        points.push(...place, ...normal, label);
      }
    }
    this.points = new Float32Array(points);
    this.middle = low.map((v, n) => (v + high[n]) / 2);
    this.extent = Math.max(20, Math.hypot(...low.map((v, n) => high[n] - v)));
    this.thick = thin;
  }

  // The file axis and its sign of the world's axes: left, back, down
  axes() {
    const found = [];
    for (const { name, across, down, flipAcross, flipDown } of this.app.volume.planes) {
      if (name === "Axial") found[0] = [across, flipAcross ? -1 : 1], found[1] = [down, flipDown ? -1 : 1];
      if (name === "Coronal") found[2] = [down, flipDown ? -1 : 1];
    }
    return found;
  }

  paint() {
    this.waiting = 0;
    const { app, canvas } = this;
    const [w, h] = [this.element.clientWidth, this.element.clientHeight];
    if (!w || !h) return;
    [canvas.width, canvas.height] = [w, h];
    const context = canvas.getContext("2d");
    if (!app.mask || !app.maskShown) return;
    this.collect();
    if (!this.points.length) {
      this.title.textContent = "3D: no mask yet";
      return;
    }
    this.title.textContent = "3D";
    const pixels = context.createImageData(w, h);
    const depth = new Float32Array(w * h).fill(Infinity);
    const [ca, sa] = [Math.cos(this.turn[0]), Math.sin(this.turn[0])];
    const [cb, sb] = [Math.cos(this.turn[1]), Math.sin(this.turn[1])];
    const scale = (0.9 * Math.min(w, h) * this.zoom) / this.extent;
    const half = Math.max(1, Math.ceil(scale * this.thick * 0.75));
    const rotate = (x, y, z) => {
      const [u, v] = [ca * x - sa * y, sa * x + ca * y]; // about the axis from head to foot
      return [u, cb * z + sb * v, cb * v - sb * z]; // across, down, away
    };
    const { points, middle } = this;
    for (let p = 0; p < points.length; p += 7) {
      const [x, y, z] = rotate(points[p] - middle[0], points[p + 1] - middle[1], points[p + 2] - middle[2]);
      const n = rotate(points[p + 3], points[p + 4], points[p + 5]);
      const length = Math.hypot(...n) || 1;
      const light = 0.35 + 0.65 * Math.max(0, (0.4 * -n[0] - 0.5 * n[1] - 0.77 * n[2]) / length) * 1;
      const rgb = colour(points[p + 6]);
      const [cx, cy] = [Math.round(w / 2 + x * scale), Math.round(h / 2 + y * scale)];
      for (let py = Math.max(0, cy - half); py < Math.min(h, cy + half); py++) {
        for (let px = Math.max(0, cx - half); px < Math.min(w, cx + half); px++) {
          const at = py * w + px;
          if (z >= depth[at]) continue;
          depth[at] = z;
          pixels.data[4 * at] = rgb[0] * light;
          pixels.data[4 * at + 1] = rgb[1] * light;
          pixels.data[4 * at + 2] = rgb[2] * light;
          pixels.data[4 * at + 3] = 255;
        }
      }
    }
    context.putImageData(pixels, 0, 0);
  }

  close() {
    this.sizes.disconnect();
  }
}
