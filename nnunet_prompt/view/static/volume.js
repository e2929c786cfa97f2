// A volume in the file's axes, and its three planes as a radiologist sees them. Voxels are [i, j, k] of the file's array.

const PLANES = [
  { name: "Axial", across: 0, down: 1, through: 2 },
  { name: "Coronal", across: 0, down: 2, through: 1 },
  { name: "Sagittal", across: 1, down: 2, through: 0 },
];
const ENDS = [["R", "L"], ["A", "P"], ["S", "I"]];

export class Volume {
  constructor(shape, affine) {
    this.shape = shape;
    this.strides = [1, shape[0], shape[0] * shape[1]];
    this.spacing = [0, 1, 2].map((a) => Math.hypot(affine[0][a], affine[1][a], affine[2][a]) || 1);
    const world = assign(affine); // world axis of each file axis
    this.planes = PLANES.map((plane) => {
      const [across, down, through] = ["across", "down", "through"].map((k) => world.indexOf(plane[k]));
      // the screen runs to the left, to the back and down, where the world's axes fall
      const flip = (axis) => affine[world[axis]][axis] > 0;
      return {
        name: plane.name, across, down, through,
        flipAcross: flip(across), flipDown: flip(down),
        ends: [ENDS[plane.across], ENDS[plane.down]],
      };
    });
    // the plane in which the image was acquired comes first: its slices are the thickest
    const thick = (p) => this.spacing[p.through] / Math.min(...this.spacing);
    this.planes.sort((a, b) => (thick(b) > 1.2 * thick(a) ? 1 : thick(a) > 1.2 * thick(b) ? -1 : 0));
  }

  get size() {
    return this.shape[0] * this.shape[1] * this.shape[2];
  }

  index(voxel) {
    return voxel[0] + voxel[1] * this.strides[1] + voxel[2] * this.strides[2];
  }

  // The position on the unzoomed slice, in voxels from its left upper corner, of a voxel position
  toSlice(plane, voxel) {
    const { across, down } = plane;
    return [
      plane.flipAcross ? this.shape[across] - 0.5 - voxel[across] : voxel[across] + 0.5,
      plane.flipDown ? this.shape[down] - 0.5 - voxel[down] : voxel[down] + 0.5,
    ];
  }

  // The voxel position of a position on a slice
  fromSlice(plane, [x, y], slice) {
    const voxel = [0, 0, 0];
    voxel[plane.across] = plane.flipAcross ? this.shape[plane.across] - 0.5 - x : x - 0.5;
    voxel[plane.down] = plane.flipDown ? this.shape[plane.down] - 0.5 - y : y - 0.5;
    voxel[plane.through] = slice;
    return voxel;
  }

  nearest(voxel) {
    return voxel.map((v, a) => Math.min(this.shape[a] - 1, Math.max(0, Math.round(v))));
  }

  // Calls visit(place, index) for each pixel of a slice: its place in the picture, and its voxel's index
  eachOf(plane, slice, visit) {
    const [w, h] = [this.shape[plane.across], this.shape[plane.down]];
    const [sx, sy] = [this.strides[plane.across], this.strides[plane.down]];
    const base = slice * this.strides[plane.through];
    let place = 0;
    for (let y = 0; y < h; y++) {
      let index = base + (plane.flipDown ? h - 1 - y : y) * sy + (plane.flipAcross ? w - 1 : 0) * sx;
      const step = plane.flipAcross ? -sx : sx;
      for (let x = 0; x < w; x++, index += step) visit(place++, index);
    }
  }
}

// The world axis that each file axis runs along, each once, the clearest first
function assign(affine) {
  const pairs = [];
  for (let a = 0; a < 3; a++) {
    const length = Math.hypot(affine[0][a], affine[1][a], affine[2][a]) || 1;
    for (let w = 0; w < 3; w++) pairs.push([Math.abs(affine[w][a]) / length, a, w]);
  }
  pairs.sort((p, q) => q[0] - p[0]);
  const world = [-1, -1, -1];
  for (const [, a, w] of pairs) if (world[a] < 0 && !world.includes(w)) world[a] = w;
  return world;
}

// The window that shows 1 % to 98.5 % of the voxels, as [lowest, highest] of 0 to 65535
export function goodWindow(image) {
  const counts = new Uint32Array(256);
  const step = Math.max(1, Math.floor(image.length / 2000000));
  let total = 0;
  for (let i = 0; i < image.length; i += step, total++) counts[image[i] >> 8]++;
  const at = (share) => {
    let sum = 0;
    for (let b = 0; b < 256; b++) if ((sum += counts[b]) >= share * total) return b;
    return 255;
  };
  const [low, high] = [at(0.01), at(0.985)];
  return high > low ? [low * 256, (high + 1) * 256] : [0, 65535];
}

const HUES = [[228, 87, 86], [64, 156, 255], [255, 190, 61], [90, 200, 130], [190, 120, 255], [255, 130, 200], [70, 210, 220], [200, 160, 110], [160, 210, 60], [250, 140, 60]];

export function colour(place) {
  return HUES[(place - 1) % HUES.length];
}
