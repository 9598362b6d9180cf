// SPDX-License-Identifier: AGPL-3.0-or-later
import { useQueryClient } from "@tanstack/react-query";
import { createContext, type ReactNode, useContext, useEffect, useState, useSyncExternalStore } from "react";
import { type Link, PushSocket, type Topic } from "./push";
import { keysFor, queries } from "./queries";

const LiveContext = createContext<PushSocket | null>(null);

/** LiveProject opens the push socket of one project and refetches what its hints name. */
export function LiveProject({
  projectId,
  slug,
  children,
}: {
  projectId: string;
  slug: string;
  children: ReactNode;
}) {
  const client = useQueryClient();
  const [socket, setSocket] = useState<PushSocket | null>(null);
  useEffect(() => {
    // The next answer of /auth/me decides whether the visitor is sent to the login page.
    const opened = new PushSocket(
      projectId,
      () => void client.invalidateQueries({ queryKey: queries.me().queryKey }),
    );
    setSocket(opened);
    const stop = opened.onTopics((topics) => {
      const stale = new Set([...topics].flatMap(keysFor));
      void client.invalidateQueries({
        predicate: ({ queryKey }) =>
          queryKey[0] === "p" && queryKey[1] === slug && stale.has(String(queryKey[2])),
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
