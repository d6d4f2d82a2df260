// Sending a request once more, and what came of it beside the first.

import { el } from "./dom.js";
import { bytes, lasting, sentence } from "./words.js";

export class Again {
  #panel;
  #redraw;
  #open;
  #missing = null;
  #given = {};
  #said = "";
  #second = null;
  #serial = null;

  constructor(panel, redraw, open) {
    [this.#panel, this.#redraw, this.#open] = [panel, redraw, open];
  }

  forget() {
    [this.#missing, this.#given, this.#said, this.#second, this.#serial] = [null, {}, "", null, null];
  }

  /** What it is drawn from. */
  state() {
    return [this.#missing, this.#said, this.#second];
  }

  async look() {
    if (this.#serial === null || this.#second?.ended) return;
    const serial = this.#serial;
    const answer = await fetch(`/api/exchanges/${serial}`);
    if (!answer.ok || serial !== this.#serial) return;
    this.#second = await answer.json();
    this.#redraw();
  }

  async send(one, wishes = {}) {
    let said = "seawall does not answer.";
    let missing = null;
    try {
      const answer = await fetch(`/api/exchanges/${one.serial}/replay`, {
        method: "POST",
        headers: { "X-Seawall": "1", "Content-Type": "application/json" },
        body: JSON.stringify(wishes),
      });
      if (answer.ok) {
        this.forget();
        this.#serial = (await answer.json()).serial;
        return this.look();
      }
      if (answer.headers.get("content-type")?.includes("json")) {
        missing = await answer.json();
        said = missing.masked.length || missing.target || missing.body ? "" : missing.said;
      } else said = await answer.text();
    } catch {
      // Said above.
    }
    this.forget();
    [this.#missing, this.#said] = [said ? null : missing, said.trim()];
    this.#redraw();
    this.#panel.querySelector(".again input, .again button")?.focus();
  }

  draw(one) {
    if (this.#said) return el("p", { className: "why", role: "alert" }, sentence(this.#said));
    if (this.#missing) return this.#question(one);
    return this.#second ? this.#beside(one) : null;
  }

  /** What was not kept is given, or done without. */
  #question(one) {
    const { masked, target, body } = this.#missing;
    const field = (name) => el("label", {}, `${name}: `, el("input", {
      type: "password", autocomplete: "off", placeholder: "left out", value: this.#given[name] ?? "",
      oninput: (event) => (this.#given[name] = event.target.value),
    }));
    const onsubmit = (event) => {
      event.preventDefault();
      const fields = Object.fromEntries(Object.entries(this.#given).filter(([, value]) => value));
      this.send(one, { fields, without_masked: true, without_body: true });
    };
    return el("form", { className: "again", onsubmit },
      el("p", {}, "Not all of this request was kept, so what is sent is another one:"),
      masked.length ? el("p", { className: "soft" }, "These secrets were masked. Give them, or leave them out.") : null,
      ...[...new Set(masked)].map(field),
      target ? el("p", { className: "soft" }, "Values in its query were masked, and are sent as REDACTED.") : null,
      body ? el("p", { className: "soft" }, `Of its body, ${bytes(body[0])} of ${bytes(body[1])} are known; no more is sent.`) : null,
      el("div", { className: "actions" },
        el("button", { type: "submit", "data-button": "send" }, "Send it so"),
        el("button", { type: "button", "data-button": "leave", onclick: () => { this.forget(); this.#redraw(); } }, "Leave it")));
  }

  #beside(one) {
    const second = this.#second;
    const took = (it) => lasting((it.until ?? it.now) - it.began);
    // A short answer comes with its head.
    const waited = (it) => (it.sent === null || !(it.answered ?? it.over) ? "–" : lasting((it.answered ?? it.over) - it.sent));
    const rows = [
      ["Ended", (it) => it.ended ?? `${it.stage} …`, true], ["Status", (it) => String(it.status ?? "–"), true],
      ["Why", (it) => it.reason ?? "–", true], ["Took", took, false], ["Wait for the head", waited, false],
      ["Delivered", (it) => bytes(it.delivered_bytes), true], ...differing(one, second),
    ];
    const row = ([name, show, matters]) => {
      const [before, after] = [show(one), show(second)];
      const className = matters && second.ended && before !== after ? "differs" : "";
      return el("tr", { className }, el("th", { scope: "row" }, name), el("td", {}, before), el("td", {}, after));
    };
    const head = ["", "First", "Again"].map((title) => el("th", { scope: "col" }, title));
    return el("div", { className: "again", role: "status" },
      el("table", {}, el("caption", { className: "unseen" }, "The first answer and the new one"),
        el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows.map(row))),
      el("div", { className: "actions" },
        el("button", { type: "button", "data-button": "second", onclick: () => this.#open(second.serial) }, "Show the new one")));
  }
}

/** Fields of the answers, and bodies, where they are not the same. */
function differing(one, second) {
  if (!one.answer || !second.answer) return [];
  const values = (it, name) => it.answer.fields.filter(([other]) => other === name).map(([, value]) => value).join(", ") || "–";
  const names = new Set([one, second].flatMap((it) => it.answer.fields.map(([name]) => name)));
  const fields = [...names].filter((name) => !ALWAYS.has(name) && values(one, name) !== values(second, name));
  const body = (it) => it.answer.body.text ?? it.answer.body.base64;
  const rows = fields.map((name) => [name, (it) => values(it, name), true]);
  if (body(one) !== body(second)) rows.push(["Body", (it) => body(it).slice(0, 500) || "–", true]);
  return rows;
}

/** These are different each time. */
const ALWAYS = new Set(["date", "x-request-id"]);
