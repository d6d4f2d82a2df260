// One exchange: its times, what was said, and what can be done with it.

import { $, el, table } from "./dom.js";
import { bytes, doing, endable, ending, hint, lasting, LEFT, sentence, SOURCE, wrong } from "./words.js";
import { segments } from "./stages.js";
import { Again } from "./again.js";

const TABS = ["Timeline", "Request", "Answer"];

export class Detail {
  #panel = $("detail");
  #around;
  #serial = null;
  #one = null;
  #drawn = "";
  #tab = TABS[0];
  #again;
  #command = null;
  #asked = false;
  #said = "";

  constructor(around) {
    this.#around = around;
    this.#again = new Again(this.#panel, () => this.#redraw(), around.open);
  }

  show(serial) {
    if (serial !== this.#serial) {
      [this.#serial, this.#one, this.#command, this.#asked, this.#said] = [serial, null, null, false, ""];
      this.#again.forget();
    }
    this.#panel.hidden = false;
    // Where it fails, the next look does, too, and says so.
    this.look().then(() => this.#panel.querySelector("[data-button=close]")?.focus({ preventScroll: true }), () => {});
  }

  close() {
    this.#serial = null;
    this.#panel.hidden = true;
    this.#around.closed();
  }

  /** Asks anew where something may have changed. */
  async look() {
    const serial = this.#serial;
    await this.#again.look();
    if (serial === null || this.#one?.ended) return;
    const answer = await fetch(`/api/exchanges/${serial}`);
    if (serial !== this.#serial) return;
    this.#one = answer.ok ? await answer.json() : { lost: (await answer.text()).trim() };
    this.#redraw();
  }

  #redraw() {
    const one = this.#one;
    const key = JSON.stringify([one, this.#tab, this.#again.state(), this.#command, this.#asked, this.#said]);
    const selection = getSelection();
    const is_selected = !selection.isCollapsed && this.#panel.contains(selection.anchorNode);
    if (!one || key === this.#drawn || (this.#drawn && is_selected)) return;
    this.#drawn = key;
    const focused = document.activeElement?.dataset?.button;
    this.#panel.replaceChildren(...(one.lost ? this.#lost() : this.#parts(one)));
    if (focused) this.#panel.querySelector(`[data-button=${focused}]`)?.focus({ preventScroll: true });
  }

  #parts(one) {
    const why = one.ended ? wrong(one) : null;
    const now = one.until ?? one.now;
    return [
      this.#head(one.method ? `${one.method} ${one.path}` : "No request"),
      el("p", { className: "soft" },
        `${sentence(doing(one, false))}${one.status ? `, status ${one.status}` : ""}, ${lasting(now - one.began)}${one.ended ? "" : " so far"}`),
      why || one.reason ? el("p", { className: `why${why ? "" : " mild"}` }, why ?? sentence(one.reason),
        why && hint(one) ? el("span", { className: "soft" }, ` ${hint(one)}`) : null) : null,
      this.#actions(one),
      this.#said ? el("p", { className: "soft", role: "status" }, this.#said) : null,
      this.#command === null ? null : el("textarea", { value: this.#command, readOnly: true, rows: 6, "aria-label": "The command" }),
      this.#again.draw(one),
      this.#tabs(),
      el("div", { role: "tabpanel", id: "tab-panel", tabIndex: 0, "aria-labelledby": `tab-${this.#tab}` },
        ...{ Timeline: () => timeline(one, now, this.#around.clock), Request: () => request(one), Answer: () => reply(one) }[this.#tab]()),
    ].filter(Boolean);
  }

  #lost() {
    return [this.#head("This exchange"), el("p", { className: "empty" }, sentence(this.#one.lost))];
  }

  #head(title) {
    return el("div", { className: "head" }, el("h2", { id: "detail-title" }, title),
      el("div", { className: "tools" }, this.#button("close", "Close", () => this.close())));
  }

  #button(name, label, onclick, more = {}) {
    return el("button", { type: "button", "data-button": name, onclick, ...more }, label);
  }

  #actions(one) {
    if (!one.ended) return endable(one) ? this.#act(one) : null;
    return el("div", { className: "actions" },
      this.#button("curl", "Copy as curl", () => this.#curl()),
      this.#button("replay", "Replay", () => this.#again.send(one)),
      el("a", { className: "button", href: `/api/har?id=${encodeURIComponent(one.id)}`, download: `seawall-${one.serial}.har` }, "HAR"));
  }

  #act(one) {
    if (!this.#asked) {
      return el("div", { className: "actions" }, this.#button("end", "End this exchange…", () => this.#ask(true), { className: "danger" }));
    }
    return el("div", { className: "actions" }, el("p", {}, ending(one)),
      this.#button("end", "End it", () => this.#end(), { className: "danger" }),
      this.#button("keep", "Let it run", () => this.#ask(false)));
  }

  #ask(asked) {
    this.#asked = asked;
    this.#redraw();
  }

  async #curl() {
    const answer = await fetch(`/api/exchanges/${this.#serial}/curl`);
    const said = await answer.text();
    if (!answer.ok) return this.#say(said);
    this.#command = said.trimEnd();
    try {
      await navigator.clipboard.writeText(this.#command);
      this.#say(this.#one.request.masked.length ? "Copied. Put in the secrets where it says ***." : "Copied.");
    } catch {
      // Without TLS and beyond this machine, browsers keep the clipboard shut.
      this.#say("This is the command:");
    }
  }

  async #end() {
    this.#asked = false;
    const answer = await fetch(`/api/exchanges/${this.#serial}/end`, { method: "POST", headers: { "X-Seawall": "1" } });
    this.#say(answer.ok ? "It is being ended." : await answer.text());
  }

  #say(what) {
    this.#said = sentence(what.trim());
    this.#redraw();
  }

  #tabs() {
    const choose = (tab) => () => {
      this.#tab = tab;
      this.#redraw();
    };
    const tab = (name) => {
      const is_it = name === this.#tab;
      return this.#button(`tab-${name}`, name, choose(name), {
        id: `tab-${name}`, role: "tab", "aria-selected": String(is_it), "aria-controls": "tab-panel", tabIndex: is_it ? 0 : -1,
      });
    };
    const onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = TABS[(TABS.indexOf(this.#tab) + step + TABS.length) % TABS.length];
      choose(next)();
      $(`tab-${next}`).focus();
    };
    return el("div", { role: "tablist", "aria-label": "What is shown of it", onkeydown }, ...TABS.map(tab));
  }
}

function timeline(one, now, clock) {
  const pieces = segments(one, now, false);
  const whole = Math.max(now - one.began, 0.001);
  const track = el("div", { className: "track", "aria-hidden": "true" }, ...pieces.map(({ kind, from, to }) => {
    const piece = el("i", { className: `is-${kind}` });
    piece.style.left = `${((from - one.began) / whole) * 100}%`;
    piece.style.width = `${((to - from) / whole) * 100}%`;
    return piece;
  }));
  const stages = pieces.map(({ kind, from, to }) => el("li", {}, el("i", { className: `is-${kind}` }),
    el("span", {}, STAGES[kind]), el("span", { className: "soft" }, `+${lasting(from - one.began)}`), el("span", {}, lasting(to - from))));
  return [track, el("ul", { className: "stages" }, ...stages), el("h3", {}, "Facts"),
    el("dl", { className: "facts" }, ...facts(one, clock).flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]))];
}

function facts(one, clock) {
  const at = (moment) => (moment === null ? null : clock(moment));
  return [
    ["Began", at(one.began)], ["Sent", at(one.sent)], ["Head came", at(one.answered)],
    ["Backend done", at(one.over)], ["Client left", one.left ? `${at(one.left_at)}, ${LEFT[one.left]}` : null],
    ["Ended", one.ended ? `${one.ended}, ${at(one.until)}` : null],
    ["Client", one.client], ["Backend", one.backend], ["Server", one.server], ["Request id", one.id],
    ["Status of the backend", one.backend_status && String(one.backend_status)],
    ["Shared", one.shared ? SOURCE[one.shared] : null],
    ["Delivered", bytes(one.delivered_bytes)], ["Discarded", one.discarded_bytes ? bytes(one.discarded_bytes) : null],
    ["Received from the client", one.received_bytes ? bytes(one.received_bytes) : null], ["Number", String(one.serial)],
  ].filter(([, value]) => value);
}

function request(one) {
  if (!one.request) return [unkept(one)];
  return [el("p", { className: "mono" }, `${one.method} ${one.path} ${one.version}`),
    one.is_url_masked ? el("p", { className: "soft" }, "Values in its query are not kept (log.redact).") : null,
    ...message(one.request)].filter(Boolean);
}

function reply(one) {
  if (!one.answer) return [one.request && one.ended ? el("p", { className: "empty" }, "Its client got no answer.") : unkept(one)];
  return [el("p", { className: "mono" }, `${one.version ?? ""} ${one.status ?? ""}`),
    one.refusal ? el("p", { className: "soft" }, "Answered by seawall itself.") : null, ...message(one.answer)].filter(Boolean);
}

function unkept(one) {
  const why = one.is_short ? "There was no more room for it: [inspect] memory is used up by those that run."
    : "It was not taken down: either it came to no request, or more began within a second than [inspect] rate allows.";
  return el("p", { className: "empty" }, why);
}

function message({ fields, masked, body }) {
  const secret = new Set(masked);
  const value = ([name, value]) => secret.has(name)
    ? el("span", {}, value, el("span", { className: "tag warn" }, "masked")) : value;
  const columns = [["Field", "", ([name]) => name], ["Value", "", value]];
  const shown = table(columns, fields, "Fields");
  shown.className = "fields";
  return [shown, el("h3", {}, `Body: ${bytes(body.bytes)}`), content(body)].filter(Boolean);
}

function content(body) {
  if (body.bytes === 0) return null;
  if (body.kept_bytes === 0) {
    return el("p", { className: "soft" }, "Bodies are not kept, unless [inspect] says so: bodies = \"16KiB\".");
  }
  const part = body.kept_bytes < body.bytes ? `The first ${bytes(body.kept_bytes)}` : "All of it";
  const kind = body.text === undefined ? ", in base64, since it is no text" : "";
  return el("div", {}, el("p", { className: "soft" }, `${part}${kind}:`), el("pre", { tabIndex: 0 }, body.text ?? body.base64));
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
