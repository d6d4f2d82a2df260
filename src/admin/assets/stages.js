// The stages of an exchange, as pieces of time.

import { watches } from "./words.js";

/** What it did from when to when; what still goes on ends at `end`. */
export function segments(one, end, held) {
  const till = one.ended ? one.until : end;
  const pieces = [];
  let at = one.began;
  const add = (kind, to) => {
    if (to > at) pieces.push({ kind, from: at, to });
    at = Math.max(at, to);
  };
  if (one.sent === null) {
    if (watches(one)) add("waiting", till);
    // It waits for a slot, or was never sent.
    const waits = one.ended ? one.queue_ms + one.held_ms > 0 : one.stage === "queued";
    add("receiving", waits && one.ended ? till - one.queue_ms - one.held_ms : waits ? at : till);
    add(held || one.held_ms > one.queue_ms ? "held" : "queued", till);
    return pieces;
  }
  add("receiving", one.sent - one.queue_ms - one.held_ms);
  add("held", one.sent - one.queue_ms);
  add("queued", one.sent);
  const over = one.over !== null && (one.ended || one.stage === "delivering") ? one.over : till;
  add("waiting", one.answered ?? over);
  add("answering", over);
  add("delivering", till);
  return one.orphaned_at == null ? pieces : pieces.flatMap((piece) => orphaned(piece, one.orphaned_at, over));
}

/** What it did once nobody watched it. */
function orphaned(piece, since, over) {
  const from = Math.max(piece.from, since);
  const to = Math.min(piece.to, over);
  if (from >= to) return [piece];
  return [
    { ...piece, to: from },
    { kind: "orphan", from, to },
    { ...piece, from: to },
  ].filter(({ from, to }) => to > from);
}
