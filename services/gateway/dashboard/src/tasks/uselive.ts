// SPDX-License-Identifier: AGPL-3.0-or-later
import { startTransition, useCallback, useEffect, useRef, useState } from "react";
import type { Query } from "../api/client";
import { useLink, useTopic } from "../api/live";
import { fetchTasks, pollInterval } from "../api/queries";
import { append, type LiveList, refresh, reveal, start, update } from "./live";

const pageSize = 100;
/** Further down bigger pages come at once, or a fast scroll would wait at every hundredth row. */
const olderSize = 400;

interface State {
  key: string;
  list: LiveList | null;
  error: unknown;
  loadingOlder: boolean;
}

/**
 * useLiveTasks keeps the task list of one filter fresh: on push hints, on a slow timer, and faster when the push
 * socket is down. A new `key` starts the list over; `query` may move on meanwhile, as a live window does.
 * `isIdleAtTop` says whether rows may move, `firstVisible` which older page to refresh as well.
 */
export function useLiveTasks(
  slug: string,
  key: string,
  query: Query,
  isIdleAtTop: () => boolean,
  firstVisible: () => number,
) {
  const [state, setState] = useState<State>({ key, list: null, error: null, loadingOlder: false });
  const current = useRef({ key, query, list: null as LiveList | null, busy: false, again: false });
  const pages = useRef<{ cursor: string; firstId: string }[]>([]);
  const link = useLink();

  if (current.current.key !== key) {
    current.current = { key, query, list: null, busy: false, again: false };
    pages.current = [];
  }
  current.current.query = query;

  const apply = useCallback(
    (forKey: string, change: (list: LiveList | null) => LiveList | null, error: unknown = null) => {
      if (current.current.key !== forKey) return;
      const list = change(current.current.list);
      current.current.list = list;
      // A screen of rows takes a while to draw: in pieces, so that keys and pointer are answered in between.
      startTransition(() => setState((old) => ({ ...old, key: forKey, list, error })));
    },
    [],
  );

  const load = useCallback(async () => {
    const run = current.current;
    if (run.busy) {
      run.again = true;
      return;
    }
    run.busy = true;
    const forKey = run.key;
    try {
      const page = await fetchTasks(slug, run.query, null, pageSize);
      apply(forKey, (list) => (list ? refresh(list, page, isIdleAtTop()) : start(page)));
      const list = current.current.list;
      const visible = firstVisible();
      if (list && visible >= pageSize && current.current.key === forKey) {
        const older = pages.current.findLast(({ firstId }) => {
          const at = list.rows.findIndex((row) => row.id === firstId);
          return at >= 0 && at <= visible;
        });
        if (older) {
          const again = await fetchTasks(slug, run.query, older.cursor, olderSize);
          apply(forKey, (each) => each && update(each, again.items));
        }
      }
    } catch (error) {
      // What is on screen stays; the connection indicator tells its age.
      apply(forKey, (list) => list, error);
    } finally {
      run.busy = false;
      if (run.again && current.current === run) {
        run.again = false;
        void load();
      }
    }
  }, [slug, apply, isIdleAtTop, firstVisible]);

  // biome-ignore lint/correctness/useExhaustiveDependencies: another key is another list
  useEffect(() => {
    // The rows of the filter before stay, marked as such, until the new ones are here.
    setState((old) => ({ ...old, error: null, loadingOlder: false }));
    void load();
  }, [key, load]);

  const onPush = useCallback(() => void load(), [load]);
  useTopic("task.changed", onPush);
  useEffect(() => {
    const timer = window.setInterval(() => {
      if (document.visibilityState === "visible") void load();
    }, pollInterval(link));
    return () => window.clearInterval(timer);
  }, [link, load]);

  // News that came while the pointer moved are shown once the reader rests at the top again.
  const waiting = (state.list?.fresh.length ?? 0) > 0;
  useEffect(() => {
    if (!waiting) return;
    const timer = window.setInterval(() => {
      if (isIdleAtTop()) apply(current.current.key, (list) => list && reveal(list));
    }, 1000);
    return () => window.clearInterval(timer);
  }, [waiting, isIdleAtTop, apply]);

  const loadOlder = useCallback(async () => {
    const { key: forKey, list, query: forQuery } = current.current;
    if (!list?.cursor) return;
    const cursor = list.cursor;
    setState((old) => ({ ...old, loadingOlder: true }));
    try {
      const page = await fetchTasks(slug, forQuery, cursor, olderSize);
      const first = page.items[0];
      if (first) pages.current.push({ cursor, firstId: first.id });
      apply(forKey, (each) => (each && each.cursor === cursor ? append(each, page) : each));
    } catch (error) {
      apply(forKey, (each) => each, error);
    } finally {
      setState((old) => ({ ...old, loadingOlder: false }));
    }
  }, [slug, apply]);

  const showFresh = useCallback(() => apply(current.current.key, (list) => list && reveal(list)), [apply]);

  const mine = state.key === key;
  return {
    list: state.list,
    stale: !mine,
    error: mine ? state.error : null,
    loadingOlder: mine && state.loadingOlder,
    reload: onPush,
    loadOlder,
    showFresh,
  };
}
