// SPDX-License-Identifier: AGPL-3.0-or-later

/**
 * watchFor starts to look for a change of the page and answers when it was on screen, in Unix milliseconds. Begin
 * it before what causes the change. `see` is a selector that must come to match; with `says`, its text must come to
 * match that too; with `changes`, its text must become another one. Ages that tick along do not count as text.
 */
export function watchFor(page, { see, says, changes }, limit = 15_000) {
  return page.evaluate(
    ({ see, says, changes, limit }) =>
      new Promise((done, fail) => {
        const text = () =>
          [...document.querySelectorAll(see)]
            .map((found) => {
              const copy = found.cloneNode(true);
              for (const age of copy.querySelectorAll("time")) age.remove();
              return copy.textContent;
            })
            .join("\n");
        const before = text();
        const met = () => {
          if (changes) return text() !== before;
          return says ? new RegExp(says).test(text()) : document.querySelector(see) !== null;
        };
        let timer = 0;
        const look = () => {
          if (!met()) return;
          observer.disconnect();
          clearTimeout(timer);
          // The DOM has changed; the next frame shows it.
          requestAnimationFrame(() =>
            done({ at: performance.timeOrigin + performance.now(), says: text().slice(0, 200) }),
          );
        };
        const observer = new MutationObserver(look);
        observer.observe(document.body, {
          childList: true,
          subtree: true,
          characterData: true,
          attributes: true,
        });
        timer = setTimeout(() => {
          observer.disconnect();
          fail(
            new Error(
              `${see} did not ${changes ? "change" : `say ${says ?? "anything"}`}; it is: ${text().slice(0, 300)}`,
            ),
          );
        }, limit);
        look();
      }),
    { see, says: says?.source, changes, limit },
  );
}

export const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** scroll moves the list on the page down, a bit with every frame, and tells how many frames a second there were. */
export async function scroll(page, frames = 400) {
  const { gaps, way } = await page.evaluate(
    (frames) =>
      new Promise((done) => {
        const scrolls = (box) =>
          box.scrollHeight > box.clientHeight + 100 && /auto|scroll/.test(getComputedStyle(box).overflowY);
        let box = document.querySelector("[data-row]");
        while (box && !scrolls(box)) box = box.parentElement;
        const gaps = [];
        let last = 0;
        const step = (now) => {
          if (last) gaps.push(now - last);
          last = now;
          box.scrollTop += 60;
          if (gaps.length < frames) requestAnimationFrame(step);
          else done({ gaps, way: box.scrollTop });
        };
        requestAnimationFrame(step);
      }),
    frames,
  );
  const sorted = gaps.toSorted((a, b) => a - b);
  return { median: 1000 / median(gaps), slow: 1000 / sorted[Math.floor(sorted.length * 0.95)], way };
}
