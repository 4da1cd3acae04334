// the case that is open: what was drawn on it, and the server's answers

import { read, send } from "./server.js";

export class Case {
  constructor(id, viewer, ui) {
    Object.assign(this, { viewer, ui, facts: { id }, strokes: [], redone: [], versions: [], ready: false, closed: false });
    this.address = `cases/${id}`;
    this.work = Promise.resolve();
  }

  async load() {
    this.ui.state("Opening the scan …");
    const facts = await read(this.address);
    if (this.closed) return;
    Object.assign(this, { facts, line: facts.review, versions: facts.versions, strokes: facts.review.strokes, shown: facts.review.version });
    await this.viewer.open(facts, this.shown, this.strokes);
    if (this.closed) return;
    this.ui.state("");
  }

  close() {
    this.closed = true;
  }

  /** Wait until clicks are answered. */
  async wait() {
    if (!this.facts.ready) this.ui.state("Getting ready for clicks. Look around; clicks are kept.");
    try {
      const { note } = await read(`${this.address}/note`);
      if (!this.closed && note) this.ui.fault(note);
    } catch (error) {
      if (!this.closed) this.ui.fault(error.message);
    }
    this.ready = true;
    this.status();
  }

  status() {
    if (!this.closed) this.ui.state(this.waiting ? (this.ready ? "Computing …" : "Getting ready; your clicks are answered then.") : "");
  }

  add(stroke) {
    this.redone = [];
    this.change([...this.strokes, stroke]);
  }

  undo() {
    if (!this.strokes.length) return;
    this.redone = [...this.redone, this.strokes.at(-1)];
    this.change(this.strokes.slice(0, -1));
  }

  redo() {
    if (!this.redone.length) return;
    const stroke = this.redone.at(-1);
    this.redone = this.redone.slice(0, -1);
    this.change([...this.strokes, stroke]);
  }

  /** Put other strokes in the place of all. */
  draw(strokes) {
    this.redone = this.strokes.toReversed();
    this.change(strokes);
  }

  change(strokes) {
    this.strokes = strokes;
    this.viewer.draw(strokes);
    this.ui.show(this);
    this.save(() => (strokes === this.strokes ? send(`${this.address}/strokes`, { strokes, ...this.after() }) : null), () => {
      // the server has refused what was drawn last
      this.strokes = this.line.strokes;
      this.viewer.draw(this.strokes);
    });
  }

  decide(verdict, remark) {
    this.save(() => send(`${this.address}/verdict`, { verdict, remark, ...this.after() }));
  }

  after() {
    return { after: this.line.version, who: this.ui.who() };
  }

  /** Send one change after the other; of strokes that were drawn meanwhile, the last. */
  save(request, refused = () => {}) {
    this.waiting = (this.waiting ?? 0) + 1;
    this.ui.fault("");
    this.status();
    this.work = this.work.then(async () => {
      try {
        const line = await request();
        if (line) {
          this.line = line;
          this.versions = [...this.versions, line];
          if (line.change === "strokes" && !this.closed) await this.viewer.update(line.version);
          this.shown = line.version;
        }
      } catch (error) {
        refused();
        if (!this.closed) this.ui.fault(error.message);
      }
      this.waiting -= 1;
      if (!this.closed) this.ui.show(this), this.status();
    });
  }

  async show(name, shown) {
    this.ui.state("Loading …");
    try {
      await this.viewer.show(name, shown, this.shown);
    } catch (error) {
      this.ui.fault(error.message);
    }
    this.status();
  }
}
