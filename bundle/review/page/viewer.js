// the scan and what lies on it, drawn by NiiVue

import { Niivue } from "./niivue.js";
import { layer, readBytes } from "./server.js";
import { between, cross, edgeOf, index, inside, mmAt, voxelAt } from "./voxels.js";

// the mask and what was drawn are one layer: each layer costs time
const LESION = 2, NORMAL = 3;
const COLOURS = {
  R: [0, 230, 213, 86], G: [0, 159, 94, 180], B: [0, 0, 0, 233], I: [0, 1, LESION, NORMAL],
  labels: ["", "lesion", "marked lesion", "marked normal"],
};
const OPACITY = { reconstruction: 1, score: 0.6 };
const AXIAL = 0, CORONAL = 1, SAGITTAL = 2, ALL = 3;
const AXIAL_PART = 0.62;   // of the picture, for the axial plane among three
const ARM_MM = 3;        // of the cross that shows a point
const STILL_PIXELS = 5;  // a press that moves less is a click

export class Viewer {
  /**
   * @param canvas to draw on
   * @param on.stroke called with the voxels of a click, or of what the brush drew, and whether Shift was held
   * @param on.place called with the voxel of the crosshair
   * @param on.scale called with the pixels for a millimetre
   * @param on.window called when the window was changed with the mouse
   */
  constructor(canvas, on) {
    this.canvas = canvas;
    this.on = on;
    this.tool = "point";
    this.plane = ALL;
    this.shown = { mask: true, score: false, reconstruction: false };
    this.nv = new Niivue({
      backColor: [0, 0, 0, 1], crosshairColor: [0.34, 0.71, 0.91, 0.6], crosshairWidth: 0.8, crosshairGap: 6,
      isRadiologicalConvention: true, isOrientationTextVisible: true, showAllOrientationMarkers: true, sagittalNoseLeft: true,
      multiplanarShowRender: 0, multiplanarPadPixels: 4, dragAndDropEnabled: false, isColorbar: false,
      viewModeHotKey: "", clipPlaneHotKey: "", keyDebounceTime: 0, logLevel: "error", loadingText: "", show3Dcrosshair: false,
      dragMode: 1, fontMinPx: 14,
    });
    this.nv.onLocationChange = ({ mm }) => this.facts && on.place(voxelAt(this.facts.affine, mm));
    this.nv.onIntensityChange = () => on.window();
  }

  async attach() {
    await this.nv.attachToCanvas(this.canvas);
    this.nv.setAtlasOutline(1);
    new ResizeObserver(() => this.facts && this.planes(this.plane)).observe(this.canvas);
    this.listen();
  }

  /** Show a case: its scan, the mask of a version, and what was drawn. */
  async open(facts, version, strokes) {
    this.facts = null;
    await this.nv.loadVolumes([
      { url: layer(facts.id, 0, "scan"), name: "scan.nii", colormap: "gray" },
      { url: layer(facts.id, version, "mask"), name: "mask.nii" },
    ]);
    const [scan, mask] = this.nv.volumes;
    Object.assign(this, { facts, strokes, volumes: { scan, mask }, edge: edgeOf(mask.img, facts) });
    mask.setColormapLabel(COLOURS);
    // NiiVue draws the edges of volumes that say that they hold labels
    mask.hdr.intent_code = 1002;
    this.shown.score = this.shown.reconstruction = false;
    this.redraw();
    this.planes(this.plane);
    // begin where there is something to see
    this.goTo(voxelAt(facts.affine, facts.largest_mm ?? this.nv.frac2mm(this.nv.scene.crosshairPos, 0, true)));
  }

  redraw() {
    const { facts, volumes, shown } = this, image = volumes.mask.img;
    if (shown.mask) image.set(this.edge);
    else image.fill(0);
    for (const { kind, shape, voxels } of this.strokes)
      for (const voxel of shape === "point" ? cross(voxels[0], facts.affine, ARM_MM) : voxels)
        if (inside(voxel, facts.shape)) image[index(voxel, facts.shape)] = kind === "lesion" ? LESION : NORMAL;
    for (const name of ["reconstruction", "score"]) if (volumes[name]) volumes[name].opacity = shown[name] ? OPACITY[name] : 0;
    this.nv.updateGLVolume();
    this.on.scale(this.scale());
  }

  /** Show a layer or hide it; those of a run that are not always needed are fetched when they are. */
  async show(name, shown, version) {
    this.shown[name] = shown;
    const facts = this.facts;
    if (shown && !this.volumes[name]) {
      const volume = await this.nv.addVolumeFromUrl({ url: layer(facts.id, version, name), name: `${name}.nii`, opacity: 0, colormap: name === "score" ? "viridis" : "gray" });
      if (facts !== this.facts) return;
      this.volumes[name] = volume;
      volume.version = version;
      if (name === "score" && facts.from_score) [volume.cal_min, volume.cal_max] = [facts.from_score / 2, facts.from_score * 4];
      else [volume.cal_min, volume.cal_max] = [this.volumes.scan.cal_min, this.volumes.scan.cal_max];
      this.nv.setVolume(volume, name === "reconstruction" ? 1 : this.nv.volumes.length - 2);
    }
    this.redraw();
  }

  /** Show the mask of a version, and its other layers, when they are looked at. */
  async update(version) {
    const facts = this.facts;
    const voxels = await readBytes(layer(facts.id, version, "mask"));
    if (facts !== this.facts) return;
    this.edge = edgeOf(voxels, facts);
    for (const name of ["score", "reconstruction"]) {
      if (!this.volumes[name] || this.volumes[name].version === version) continue;
      this.nv.removeVolume(this.volumes[name]);
      delete this.volumes[name];
      if (this.shown[name]) await this.show(name, true, version);
    }
    this.redraw();
  }

  /** Show what was drawn. */
  draw(strokes) {
    this.strokes = strokes;
    this.redraw();
  }

  get window() {
    const { cal_min, cal_max, global_min, global_max } = this.volumes.scan;
    return { darkest: cal_min, brightest: cal_max, lowest: global_min, highest: global_max };
  }

  set window({ darkest, brightest }) {
    for (const name of ["scan", "reconstruction"])
      if (this.volumes[name]) [this.volumes[name].cal_min, this.volumes[name].cal_max] = [darkest, brightest];
    this.nv.updateGLVolume();
  }

  planes(kind) {
    this.plane = kind;
    const wide = this.canvas.clientWidth > this.canvas.clientHeight;
    if (kind !== ALL) this.nv.clearCustomLayout();
    else this.nv.setCustomLayout([[AXIAL, AXIAL_PART], [CORONAL, 0], [SAGITTAL, 0.5]].map(([sliceType, at]) => {
      const [first, second] = sliceType === AXIAL ? [0, 0] : [AXIAL_PART, at];
      const [long, short] = sliceType === AXIAL ? [AXIAL_PART, 1] : [1 - AXIAL_PART, 0.5];
      return { sliceType, position: wide ? [first, second, long, short] : [second, first, short, long] };
    }));
    this.nv.setSliceType(kind);
    this.on.scale(this.scale());
  }

  /** Pixels of the page for a millimetre, in the first plane. */
  scale() {
    const slice = this.facts && this.nv.screenSlices[0];
    if (!slice) return 0;
    const [left, top, width, height] = slice.leftTopWidthHeight, y = top + height / 2;
    const [a, b] = [0.4, 0.6].map(part => this.nv.frac2mm(this.nv.canvasPos2frac([left + part * width, y]), 0, true));
    const mm = Math.hypot(a[0] - b[0], a[1] - b[1], a[2] - b[2]);
    return mm && (0.2 * width / mm) * (this.canvas.getBoundingClientRect().width / this.canvas.width);
  }

  scroll(slices) {
    this.nv.moveCrosshairInVox(0, 0, slices);
  }

  /** The voxel under the pointer, null where there is no slice. */
  voxelUnder(event) {
    const box = this.canvas.getBoundingClientRect(), ratio = this.canvas.width / box.width;
    const place = this.nv.canvasPos2frac([(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio]);
    if (place[0] < 0) return null;
    const voxel = voxelAt(this.facts.affine, this.nv.frac2mm(place, 0, true));
    return inside(voxel, this.facts.shape) ? voxel : null;
  }

  /** Bring the crosshair to a voxel. */
  goTo(voxel) {
    this.nv.scene.crosshairPos = this.nv.mm2frac(mmAt(this.facts.affine, voxel), 0, true);
    this.nv.drawScene();
    this.on.place(voxel);
  }

  listen() {
    let press = null;
    const end = () => (press = null);
    this.canvas.addEventListener("pointerdown", event => {
      end();
      if (!this.facts || event.button !== 0 || !event.isPrimary) return;
      press = { x: event.clientX, y: event.clientY, voxels: [], moved: false };
      const voxel = this.voxelUnder(event);
      if (voxel) press.voxels.push(voxel);
      if (this.tool === "brush") this.canvas.setPointerCapture(event.pointerId);
    });
    this.canvas.addEventListener("pointermove", event => {
      if (!press) return;
      press.moved ||= Math.hypot(event.clientX - press.x, event.clientY - press.y) >= STILL_PIXELS;
      if (this.tool !== "brush" || !press.voxels.length) return;
      const voxel = this.voxelUnder(event);
      if (voxel) press.voxels.push(...between(press.voxels.at(-1), voxel));
    });
    this.canvas.addEventListener("pointerup", event => {
      const { voxels, moved } = press ?? { voxels: [] };
      end();
      if (!voxels.length) return;
      if (!moved) this.goTo(voxels[0]);
      if (this.tool === "look" || (this.tool === "point" && moved)) return;
      this.on.stroke(this.tool === "brush" && voxels.length > 1 ? voxels : [voxels[0]], event.shiftKey);
    });
    this.canvas.addEventListener("pointercancel", end);
  }
}
