// SPDX-License-Identifier: AGPL-3.0-or-later
import { type Query, type QueryKey, useQueryClient } from "@tanstack/react-query";
import {
  createContext,
  type ReactNode,
  useContext,
  useEffect,
  useRef,
  useState,
  useSyncExternalStore,
} from "react";
import { type Link, PushSocket, type Topic } from "./push";
import { keysFor, pollInterval, queries } from "./queries";

const LiveContext = createContext<PushSocket | null>(null);

/** LiveProject opens the push socket of one project, once it is known, and refetches what its hints name. */
export function LiveProject({
  projectId,
  slug,
  children,
}: {
  projectId: string | null;
  slug: string;
  children: ReactNode;
}) {
  const client = useQueryClient();
  const [socket, setSocket] = useState<PushSocket | null>(null);
  useEffect(() => {
    if (projectId === null) return;
    // The next answer of /auth/me decides whether the visitor is sent to the login page.
    const opened = new PushSocket(
      projectId,
      () => void client.invalidateQueries({ queryKey: queries.me().queryKey }),
    );
    setSocket(opened);
    const stop = opened.onTopics((topics) => {
      const stale = new Set([...topics].flatMap(keysFor));
      void client.invalidateQueries({
        predicate: (query) =>
          query.queryKey[0] === "p" &&
          query.queryKey[1] === slug &&
          stale.has(String(query.queryKey[2])) &&
          answerable(query),
      });
    });
    return () => {
      stop();
      opened.close();
      setSocket(null);
    };
  }, [projectId, slug, client]);
  return <LiveContext.Provider value={socket}>{children}</LiveContext.Provider>;
}

/**
 * A question that was never answered and fails is left to its retry, the poll and "Try again": hints come faster than it
 * can fail, and each would start it anew and hide what went wrong behind the skeleton.
 */
const answerable = ({ state }: Query): boolean =>
  state.data !== undefined || (state.status !== "error" && state.fetchFailureCount === 0);

const never = () => () => undefined;
const connecting = (): Link => "connecting";

export function useLink(): Link {
  const socket = useContext(LiveContext);
  return useSyncExternalStore(socket?.subscribeLink ?? never, socket?.getLink ?? connecting);
}

export function useLastContact(): () => number | null {
  const socket = useContext(LiveContext);
  return () => socket?.lastContact ?? null;
}

/** useTopic calls back when hints of this topic arrive, at most once a second. The callback must be stable. */
export function useTopic(topic: Topic, callback: () => void) {
  const socket = useContext(LiveContext);
  useEffect(
    () =>
      socket?.onTopics((topics) => {
        if (topics.has(topic)) callback();
      }),
    [socket, topic, callback],
  );
}

/**
 * useLive keeps a page's answers fresh: hints of these topics make the queries under `keys` (prefixes) ask again at
 * once, and then at most every `atMostEvery` ms while hints keep coming. Give heavy questions 2000 or more. Returns
 * the interval for `refetchInterval`: slow while pushes arrive, every few seconds without them.
 *
 *   const poll = useLive(["task.changed"], [["p", slug, "series"]], 2000);
 *   const series = useQuery({ queryKey: ["p", slug, "series", range.key], queryFn, refetchInterval: poll });
 */
export function useLive(topics: Topic[], keys: QueryKey[], atMostEvery = 0): number {
  const socket = useContext(LiveContext);
  const client = useQueryClient();
  const wanted = useRef({ topics, keys });
  wanted.current = { topics, keys };
  useEffect(() => {
    if (!socket) return;
    let last = 0;
    let timer = 0;
    const ask = () => {
      timer = 0;
      last = Date.now();
      for (const queryKey of wanted.current.keys)
        void client.invalidateQueries({ queryKey, predicate: answerable });
    };
    const stop = socket.onTopics((hints) => {
      if (timer || !wanted.current.topics.some((topic) => hints.has(topic))) return;
      const wait = last + atMostEvery - Date.now();
      if (wait <= 0) ask();
      else timer = window.setTimeout(ask, wait);
    });
    return () => {
      stop();
      window.clearTimeout(timer);
    };
  }, [socket, client, atMostEvery]);
  return pollInterval(useLink());
}
