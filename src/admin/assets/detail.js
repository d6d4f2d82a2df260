// All that is known of one exchange, and the button that ends it.

import { $, el } from "./dom.js";
import { bytes, doing, endable, ending, hint, lasting, LEFT, request, sentence, SOURCE, wrong } from "./words.js";
import { segments } from "./stages.js";

export class Detail {
  #panel = $("detail");
  #serial = null;
  #asked = false;
  #said = "";
  #drawn = "";
  #closed;

  constructor(closed) {
    this.#closed = closed;
    this.#panel.addEventListener("close", () => {
      this.#serial = null;
      this.#closed();
    });
    this.#panel.addEventListener("keydown", (event) => {
      // A dialog that is not modal does not do this by itself.
      if (event.key === "Escape") this.#panel.close();
    });
  }

  show(serial, model) {
    Object.assign(this, { model });
    this.#serial = serial;
    [this.#asked, this.#said, this.#drawn] = [false, "", ""];
    this.draw(model);
    if (!this.#panel.open) this.#panel.show();
    this.#panel.querySelector("button")?.focus();
  }

  draw(model) {
    if (this.#serial === null) return;
    this.model = model;
    const one = model.running.get(this.#serial) ?? model.finished.findLast((one) => one.serial === this.#serial)
      ?? model.lately.findLast((one) => one.serial === this.#serial);
    const key = JSON.stringify([one, this.#asked, this.#said, one?.ended ? 0 : Math.floor(model.now() / 500)]);
    // Not while somebody selects in it.
    if (key === this.#drawn || (this.#drawn && !getSelection().isCollapsed && this.#panel.contains(getSelection().anchorNode))) return;
    this.#drawn = key;
    const focused = document.activeElement?.dataset?.button;
    this.#panel.replaceChildren(...(one ? this.#parts(one) : this.#lost()));
    if (focused) (this.#panel.querySelector(`[data-button=${focused}]`) ?? this.#panel.querySelector("button")).focus();
  }

  #parts(one) {
    const { model } = this;
    const why = one.ended ? wrong(one) : null;
    const advice = why ? hint(one) : "";
    return [
      this.#head(request(one)),
      el("p", { className: "soft" }, `${sentence(doing(one, model.isHeld(one)))}${one.status ? `, status ${one.status}` : ""}, for ${lasting((one.until ?? model.now()) - one.began)}${one.ended ? "" : " so far"}`),
      why || one.reason ? el("p", { className: `why${why ? "" : " mild"}` }, why ?? sentence(one.reason), advice ? el("span", { className: "soft" }, ` ${advice}`) : null) : null,
      el("h3", {}, "Stages"),
      el("ul", { className: "stages" }, ...segments(one, model.now(), model.isHeld(one)).map(({ kind, from, to }) =>
        el("li", {}, el("i", { className: `is-${kind}` }), el("span", {}, STAGES[kind]), el("span", {}, lasting(to - from))))),
      el("h3", {}, "Facts"),
      el("dl", { className: "facts" }, ...facts(one, model).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      ...this.#act(one),
    ].filter(Boolean);
  }

  #head(title) {
    return el("div", { className: "head" }, el("h2", { id: "detail-title" }, title),
      el("div", { className: "tools" }, el("button", { type: "button", "data-button": "close", onclick: () => this.#panel.close() }, "Close")));
  }

  #lost() {
    return [this.#head("This exchange"), el("p", {}, "It is over, and no more is kept of it.")];
  }

  #act(one) {
    const said = this.#said ? el("p", { className: "soft", role: "status" }, this.#said) : null;
    if (!endable(one)) return [said];
    if (!this.#asked) {
      const ask = () => this.#redraw(() => (this.#asked = true));
      return [el("div", { className: "act" }, el("button", { type: "button", className: "danger", "data-button": "end", onclick: ask }, "End this exchange…")), said];
    }
    return [el("div", { className: "act" },
      el("p", {}, ending(one)),
      el("button", { type: "button", className: "danger", "data-button": "end", onclick: () => this.#end(one.serial) }, "End it"),
      el("button", { type: "button", "data-button": "keep", onclick: () => this.#redraw(() => (this.#asked = false)) }, "Let it run")), said];
  }

  async #end(serial) {
    this.#asked = false;
    let said = "It is being ended.";
    try {
      const answer = await fetch(`/api/exchanges/${serial}/end`, { method: "POST" });
      if (!answer.ok) said = `It was not ended: ${(await answer.text()).trim()}`;
    } catch {
      said = "It was not ended: seawall does not answer.";
    }
    if (this.#serial === serial) this.#redraw(() => (this.#said = said));
  }

  #redraw(change) {
    change();
    this.draw(this.model);
  }
}

function facts(one, model) {
  const clock = (at) => (at === null || at === undefined ? null : model.clock(at));
  return [
    ["Request id", one.id],
    ["Client", one.client],
    ["Backend", one.backend],
    ["Began", clock(one.began)],
    ["Sent", clock(one.sent)],
    ["Head came", clock(one.answered)],
    ["Client left", one.left ? `${clock(one.left_at)}, ${LEFT[one.left]}` : null],
    ["Ended", one.ended ? `${one.ended}, ${clock(one.until)}` : null],
    ["Status to the client", one.ended && one.status ? String(one.status) : null],
    ["Status of the backend", one.backend_status ? String(one.backend_status) : null],
    ["Shared", one.shared ? SOURCE[one.shared] : null],
    ["Delivered", bytes(one.delivered_bytes)],
    ["Discarded", one.discarded_bytes ? bytes(one.discarded_bytes) : null],
    ["Number", String(one.serial)],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
}

const STAGES = {
  receiving: "Receiving the request",
  queued: "Waiting for a slot",
  held: "Held: the backend was away",
  waiting: "At the backend, no answer yet",
  answering: "The answer came",
  delivering: "To the client, the backend was free",
  orphan: "Went on for nobody",
};
