// What is known of the house: a whole first, then what is new.

import { SLOW, wrong } from "./words.js";

export class Model {
  state = null;
  running = new Map();
  /** Those that are over, in the order in which they were; the oldest go. */
  finished = [];
  /** Ended in front of our eyes, for the bars; not all of them are told of. */
  lately = [];
  series = [];
  output = [];
  #come = 0;
  wrapped = false;
  /** What is behind `performance.now()`. */
  #offset = null;

  whole(data) {
    if (this.state?.began !== data.began) {
      // Another process, which knows nothing of what we saw.
      this.running = new Map();
      this.lately = [];
      this.#offset = null;
    }
    const before = this.running;
    this.state = { ...data, running: undefined, finished: undefined, series: undefined, output: undefined };
    this.running = new Map(data.running.map((one) => [one.serial, one]));
    this.finished = data.finished.slice(-FINISHED);
    this.series = data.series.slice(-SECONDS);
    this.output = data.output.slice(-LINES);
    this.#come = data.output_come;
    this.wrapped = data.wrapped;
    this.#told(data.now);
    // What ended while nobody told us.
    const told = new Set(this.finished.map((one) => one.serial));
    for (const [serial, one] of before) {
      if (!this.running.has(serial) && !told.has(serial)) this.#gone(one);
    }
    this.lately = [...this.lately.filter((one) => !told.has(one.serial)), ...this.finished.slice(-LATELY)];
  }

  news(data) {
    for (const name of ["now", "draining", "connections", "more", "backends", "totals"]) {
      if (data[name] !== undefined) this.state[name] = data[name];
    }
    for (const one of data.changed) this.running.set(one.serial, one);
    for (const one of data.finished) this.#ended(one);
    for (const serial of data.gone) {
      const one = this.running.get(serial);
      this.running.delete(serial);
      if (one) this.#gone(one);
    }
    const last = this.series.at(-1)?.number ?? 0;
    this.series.push(...data.series.filter((one) => one.number > last));
    const lines = data.output_come - this.#come;
    if (lines > 0) this.output.push(...data.output.slice(-lines));
    this.#come = Math.max(this.#come, data.output_come);
    trim(this.finished, FINISHED);
    trim(this.lately, LATELY);
    trim(this.series, SECONDS);
    trim(this.output, LINES);
    this.#told(data.now);
  }

  /** Milliseconds since the process began, by its own clock. */
  now() {
    return this.#offset === null ? 0 : performance.now() + this.#offset;
  }

  /** The time of day of such a moment. */
  clock(at) {
    return CLOCK.format(new Date(Date.parse(this.state.began) + at));
  }

  backend(name) {
    return this.state.backends.find((one) => one.name === name);
  }

  /** Does it wait for a backend that is away, and not for a slot? */
  isHeld(exchange) {
    const condition = exchange.stage === "queued" && this.backend(exchange.backend)?.condition;
    return condition === "away" || condition === "restarting";
  }

  /** Those that wait, each with its place in line. */
  places() {
    const next = new Map();
    const places = new Map();
    for (const one of this.running.values()) {
      if (one.stage !== "queued" || one.left) continue;
      const place = (next.get(one.backend) ?? 0) + 1;
      next.set(one.backend, place);
      places.set(one.serial, place);
    }
    return places;
  }

  /** What went wrong, the newest first. */
  problems() {
    return this.finished.filter((one) => (one.problem ??= wrong(one)) !== null).reverse();
  }

  /** Sent long ago, and no answer yet. */
  unanswered() {
    const now = this.now();
    return [...this.running.values()].filter((one) => one.stage === "waiting" && one.sent !== null && now - one.sent > SLOW);
  }

  /** The sum of a count over all backends. */
  total(count) {
    return this.state.totals.reduce((sum, totals) => sum + count(totals), 0);
  }

  #told(now) {
    const offset = now - performance.now();
    // An event that was late says too little; a clock that drifts is followed nevertheless.
    this.#offset = this.#offset === null ? offset : Math.max(offset, this.#offset - 5);
  }

  #ended(one) {
    if (one.number <= (this.finished.at(-1)?.number ?? 0)) return;
    this.finished.push(one);
    this.running.delete(one.serial);
    this.lately = this.lately.filter((known) => known.serial !== one.serial);
    this.lately.push(one);
  }

  /** Nothing was told of its end: it is one of those of a flood that went well. */
  #gone(one) {
    const end = this.now();
    if (this.lately.some((known) => known.serial === one.serial)) return;
    this.lately.push({ ...one, ended: one.left ? "discarded" : "delivered", until: end, over: one.over ?? end, untold: true });
  }
}

function trim(list, length) {
  if (list.length > length) list.splice(0, list.length - length);
}

const CLOCK = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const FINISHED = 1000;
const LATELY = 200;
const SECONDS = 600;
const LINES = 200;
