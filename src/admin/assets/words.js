// How things are said: times, amounts, stages, reasons.

/** A duration of milliseconds, as long as it needs to be and no longer. */
export function lasting(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 1) return `${Math.max(ms, 0).toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms < 120_000) return `${Math.round(ms / 1000)} s`;
  if (ms < 7_200_000) return `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
  return `${Math.floor(ms / 3_600_000)} h ${Math.round((ms % 3_600_000) / 60_000)} min`;
}

/** The same without fractions: for what changes all the time in a text that is read. */
export function coarsely(ms) {
  return ms < 10_000 ? `${Math.max(Math.round(ms / 1000), 0)} s` : lasting(ms);
}

export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; count >= 1024 && unit < units.length - 1; unit++) count /= 1024;
  return `${unit === 0 || count >= 100 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

const numbers = new Intl.NumberFormat("en");

export const many = (count) => numbers.format(count);

export const counted = (count, one, more = `${one}s`) => `${many(count)} ${count === 1 ? one : more}`;

/** The first letter large. */
export const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** What was asked for. */
export const request = (one) => (one.path ? `${one.method} ${one.path}` : "(no request line)");

/** Does it wait for what comes of an exchange that is not its own? */
export const watches = (one) => !one.ended && one.shared != null;

/** What an exchange is doing, or how it ended. */
export function doing(exchange, held) {
  if (exchange.ended) return exchange.ended;
  if (exchange.orphan) return "for nobody";
  if (watches(exchange)) return exchange.shared === "join" ? "joined" : "attached";
  switch (exchange.stage) {
    case "queued": return held ? "held" : "queued";
    case "waiting": return "at the backend";
    case "delivering": return "to the client";
    default: return exchange.stage;
  }
}

/** Is there an exchange of its own that can be ended? */
export const endable = (one) => !one.ended && !["receiving", "delivering"].includes(one.stage) && !one.shared;

/** What comes of ending it. */
export const ending = (one) => one.sent === null ? "It has not been sent; who waits for it gets an answer of seawall."
  : "The backend's work at it is cut off; it may see a broken pipe.";

/** In which stage a client left. */
export const LEFT = {
  receiving: "while it sent its request",
  queued: "while it was queued",
  waiting: "before the answer began",
  answering: "in the middle of the answer",
};

export const SOURCE = {
  join: "joined an exchange that ran for an equal request",
  replay: "answered from the kept result of the same request before",
};

/** Why something went wrong, in one line; none where nothing did. */
export function wrong(one) {
  const backend = one.backend_status;
  if (one.ended === "failed" || one.ended === "cut") return sentence(one.reason ?? one.ended);
  if (one.ended === "refused") return sentence(one.reason ?? "answered by seawall itself");
  if (backend >= 500) return `The backend answered ${backend}`;
  if (one.ended === "delivered" && one.status >= 500) return sentence(one.reason ?? `Answered with ${one.status}`);
  if (one.answered && one.sent && one.answered - one.sent > SLOW) return SLOWLY;
  return null;
}

/** What to look at, for those who do not know yet. */
export function hint(one) {
  if (one.refusal in HINTS) return HINTS[one.refusal];
  if (one.backend_status >= 500) return "The fault is in the application: look for a traceback in its log or output.";
  if (one.ended === "cut") return "A bound, a policy or an operator ended it; the backend was not at fault.";
  if (one.ended === "failed") return "The connection to the backend ended amid its answer: it may have crashed, or been restarted.";
  if (one.ended === "delivered" && !(one.status >= 500)) return "Its slot was taken all that time; others may have waited for it.";
  return "";
}

/** Whose fault it is, roughly: for the order and the colour. */
export function severity(one) {
  if (one.ended === "failed" || one.backend_status >= 500 || BACKENDS.has(one.refusal)) return "bad";
  if (one.ended === "cut" || one.status >= 500 || one.refusal === "too_many_exchanges") return "warn";
  return one.ended === "refused" ? "mild" : "warn";
}

const BACKENDS = new Set([
  "name_unknown", "connection_refused", "connection_timed_out", "unreachable", "never_reached", "crash_loop",
  "closed_early", "answer_malformed", "probe_unanswered", "restarting", "switched_elsewhere",
]);

const HINTS = {
  connection_refused: "Nothing listens at the backend's address. Does it run, and at this port?",
  connection_timed_out: "The backend's machine or process does not accept connections. Is it overloaded, or behind a firewall?",
  name_unknown: "The name in backend.url leads nowhere. Is it spelt right, and known to this machine?",
  unreachable: "There is no way to the backend's address from this machine.",
  never_reached: "The backend has not been reached since it was asked first. Does it run, and at this address?",
  restarting: "The backend is restarting; a page was answered early so that a person need not wait.",
  crash_loop: "The command ends again and again. Its last output says why.",
  closed_early: "The backend closed its connection before it answered. It may have crashed: look for a traceback.",
  answer_malformed: "What the backend sent is no HTTP answer. Is something else listening at its port?",
  queue_full: "More requests wait than backend.queue.max allows. Raise max_concurrency if the backend can bear it.",
  queued_too_long: "No slot came free within backend.queue.timeout. Are exchanges stuck at the backend?",
  too_many_exchanges: "One client runs more exchanges at once than client.exchanges allows.",
  too_many_orphans: "One client has left more exchanges running than client.orphans allows.",
  still_waiting: "The client was let go after client.wait; the exchange itself went on.",
  spool_full: "Bodies fill spool.total_memory and spool.total_disk.",
  body_too_long: "The request's body is longer than max_body allows.",
  body_stalled: "The client stopped sending in the middle of its request.",
  head_timeout: "The client took too long to send the head of a request.",
  malformed: "What the client sent is no HTTP request.",
  not_encrypted: "A client speaks plain HTTP to a listener of TLS.",
};

/** A head that takes longer is told as slow. */
export const SLOW = 5000;
export const SLOWLY = "The backend took more than 5 s to answer";
