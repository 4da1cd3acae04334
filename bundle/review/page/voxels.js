// voxels of the scan as it is stored

/** From millimetres to the nearest voxel, by the inverse of the affine (rows). */
export function voxelAt(affine, mm) {
  const [[a, b, c], [d, e, f], [g, h, i]] = affine;
  const p = [0, 1, 2].map(row => mm[row] - affine[row][3]);
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  const rows = [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ];
  return rows.map(row => Math.round((row[0] * p[0] + row[1] * p[1] + row[2] * p[2]) / det));
}

/** From a voxel to millimetres. */
export const mmAt = (affine, voxel) => affine.slice(0, 3).map(row => row[0] * voxel[0] + row[1] * voxel[1] + row[2] * voxel[2] + row[3]);

export const inside = (voxel, shape) => voxel.every((at, axis) => at >= 0 && at < shape[axis]);

export const index = (voxel, shape) => voxel[0] + shape[0] * (voxel[1] + shape[1] * voxel[2]);

/** The voxels on the way from one voxel to another, without the first. */
export function between(from, to) {
  const steps = Math.max(...to.map((at, axis) => Math.abs(at - from[axis])));
  return Array.from({ length: steps }, (_, step) => to.map((at, axis) => Math.round(from[axis] + (at - from[axis]) * (step + 1) / steps)));
}

const sizes = affine => [0, 1, 2].map(axis => Math.hypot(...[0, 1, 2].map(row => affine[row][axis])));

/** The outline of a mask (1, else 0) in its slices: those it was scanned in, or axial ones where all sides are alike. */
export function edgeOf(mask, { shape, affine }) {
  const mm = sizes(affine), alike = Math.max(...mm) < 1.5 * Math.min(...mm);
  const through = alike ? affine[2].slice(0, 3).map((side, axis) => Math.abs(side) / mm[axis]) : mm;
  const across = through.indexOf(Math.max(...through)), steps = [1, shape[0], shape[0] * shape[1]];
  const [one, other] = steps.filter((_, axis) => axis !== across), edge = new Uint8Array(mask.length);
  for (let at = 0; at < mask.length; at++)
    if (mask[at] && !(mask[at - one] && mask[at + one] && mask[at - other] && mask[at + other])) edge[at] = 1;
  return edge;
}

/** A cross around a voxel, its arms of some millimetres. */
export function cross(voxel, affine, mm) {
  const voxels = [voxel];
  for (const [axis, size] of sizes(affine).entries()) {
    for (let arm = 1; arm <= Math.max(1, Math.round(mm / size)); arm++)
      for (const side of [-arm, arm]) voxels.push(voxel.map((at, other) => at + (other === axis ? side : 0)));
  }
  return voxels;
}
