// SPDX-License-Identifier: AGPL-3.0-or-later
import { type ReactNode, startTransition, useEffect, useState } from "react";

/** What is to come, in turn: one commit each, so that the browser paints and answers keys in between. */
const waiting: (() => void)[] = [];
let running = false;

function next() {
  const show = waiting.shift();
  running = show !== undefined;
  if (!show) return;
  startTransition(show);
  // Behind the frame, or soon when the tab is not painted.
  const timer = window.setTimeout(go, 60);
  const frame = requestAnimationFrame(() => {
    window.clearTimeout(timer);
    window.setTimeout(go, 0);
  });
  function go() {
    cancelAnimationFrame(frame);
    next();
  }
}

/**
 * Later draws its children in pieces after what is around them, and `fallback` until then: what takes long to draw must not
 * keep the page from being used. The fallback should be as large as the children.
 */
export function Later({ fallback = null, children }: { fallback?: ReactNode; children: ReactNode }) {
  const [here, setHere] = useState(false);
  useEffect(() => {
    const show = () => setHere(true);
    waiting.push(show);
    if (!running) {
      running = true;
      window.setTimeout(next, 0);
    }
    return () => {
      const at = waiting.indexOf(show);
      if (at >= 0) waiting.splice(at, 1);
    };
  }, []);
  return here ? children : fallback;
}
