// What is drawn over a slice: the crosshair, the prompts, the prompt that is being dragged, the ends of the axes.

import { colour } from "./volume.js";

export function drawMarks(pane, context, w, h) {
  drawCross(pane, context);
  drawPrompts(pane, context);
  drawDrag(pane, context);
  drawEnds(pane, context, w, h);
}

function drawCross(pane, context) {
  const [x, y] = pane.toScreen(pane.app.cross);
  const { corner, size } = pane.frame;
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

function drawPrompts(pane, context) {
  const { through } = pane.plane;
  for (const [value, said] of Object.entries(pane.app.prompts)) {
    const place = pane.app.placeOf(Number(value));
    for (const one of said.points ?? []) {
      if (Math.abs(one.position[through] - pane.slice) < 0.51) drawPoint(pane, context, one, place);
    }
    for (const one of said.boxes ?? []) {
      if (one.lower[through] <= pane.slice && pane.slice < one.upper[through]) drawBox(pane, context, one, place);
    }
    for (const one of said.scribbles ?? []) {
      if (one.path.some((v) => Math.abs(v[through] - pane.slice) < 0.51)) drawLine(pane, context, one.path, one.positive, place);
    }
  }
}

function drawPoint(pane, context, { position, positive }, place) {
  const [x, y] = pane.toScreen(position);
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

function style(context, positive, place) {
  context.lineWidth = 2;
  context.strokeStyle = `rgb(${colour(place)})`;
  context.setLineDash(positive ? [] : [5, 4]);
  context.shadowColor = "#000";
  context.shadowBlur = 2;
}

function drawBox(pane, context, { lower, upper, positive }, place) {
  const [a, b] = [lower, upper].map((corner) => pane.toScreen(corner.map((v) => v - 0.5)));
  context.save();
  style(context, positive, place);
  context.strokeRect(Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1]));
  context.restore();
}

function drawLine(pane, context, path, positive, place) {
  context.save();
  style(context, positive, place);
  context.lineWidth = 3;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  path.forEach((v, n) => context[n ? "lineTo" : "moveTo"](...pane.toScreen(v)));
  if (path.length === 1) context.lineTo(...pane.toScreen(path[0]));
  context.stroke();
  context.restore();
}

function drawDrag(pane, context) {
  const { app } = pane;
  const { drag } = pane.pointer;
  const place = app.placeOf(app.label);
  if (drag?.kind === "box") drawBox(pane, context, { ...pane.pointer.boxOf(drag), positive: drag.positive }, place);
  if (drag?.kind === "scribble") drawLine(pane, context, drag.path, drag.positive, place);
}

function drawEnds(pane, context, w, h) {
  const [[left, right], [top, bottom]] = pane.plane.ends;
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
