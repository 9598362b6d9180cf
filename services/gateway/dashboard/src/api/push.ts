// SPDX-License-Identifier: AGPL-3.0-or-later
import { onReachability } from "./client";

export type Topic = "task.changed" | "command.changed" | "agent.changed";
/** live: pushed; reconnecting: lost a moment ago; polling: no push but the API answers; offline: nothing answers. */
export type Link = "connecting" | "live" | "reconnecting" | "polling" | "offline";

const retryDelays = [500, 1000, 2000, 5000, 10_000, 30_000];
const pingEvery = 25_000;
const pongWithin = 10_000;

type TopicListener = (topics: ReadonlySet<Topic>) => void;

/** How long hints are gathered before the pages refetch: news show within half a second, the brain rests between. */
const gather = 400;

/**
 * PushSocket keeps one socket per open project and turns its payload-free hints into callbacks. Hints may be
 * lost; pages also refetch now and then by themselves, faster while the socket is down.
 */
export class PushSocket {
  private socket: WebSocket | null = null;
  private attempts = 0;
  private retryTimer = 0;
  private pingTimer = 0;
  private pongTimer = 0;
  private flushTimer = 0;
  private lastFlush = 0;
  private ready = false;
  private stopped = false;
  private reachable = true;
  private hints = new Set<Topic>();
  private readonly topicListeners = new Set<TopicListener>();
  private readonly linkListeners = new Set<() => void>();
  private link: Link = "connecting";
  private readonly stopReachability: () => void;
  /** When the last answer of any kind came, for "data is 40 s old". */
  lastContact = Date.now();

  constructor(
    private readonly projectId: string,
    private readonly onUnauthenticated: () => void,
  ) {
    this.stopReachability = onReachability((reachable) => {
      if (reachable) this.lastContact = Date.now();
      if (reachable !== this.reachable) {
        this.reachable = reachable;
        this.publishLink();
        if (reachable) this.wake();
      }
    });
    window.addEventListener("online", this.wake);
    document.addEventListener("visibilitychange", this.wake);
    this.connect();
  }

  getLink = (): Link => this.link;

  subscribeLink = (listener: () => void): (() => void) => {
    this.linkListeners.add(listener);
    return () => this.linkListeners.delete(listener);
  };

  onTopics(listener: TopicListener): () => void {
    this.topicListeners.add(listener);
    return () => this.topicListeners.delete(listener);
  }

  close() {
    this.stopped = true;
    this.stopReachability();
    window.removeEventListener("online", this.wake);
    document.removeEventListener("visibilitychange", this.wake);
    for (const timer of [this.retryTimer, this.pingTimer, this.pongTimer, this.flushTimer])
      window.clearTimeout(timer);
    this.socket?.close(1000);
  }

  /** After sleep, or when the network is back, don't wait for the backoff. */
  private wake = () => {
    if (this.stopped || document.visibilityState === "hidden" || this.ready) return;
    if (this.socket?.readyState === WebSocket.CONNECTING) return;
    window.clearTimeout(this.retryTimer);
    this.connect();
  };

  private connect() {
    const url = new URL("/ws/dashboard", window.location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ type: "subscribe", project_id: this.projectId }));
    socket.onmessage = (message) => this.receive(message.data);
    socket.onclose = (event) => this.closed(socket, event.code);
  }

  private receive(data: unknown) {
    this.lastContact = Date.now();
    let frame: { type?: string; topic?: Topic };
    try {
      frame = JSON.parse(String(data));
    } catch {
      return;
    }
    if (frame.type === "ready") {
      this.ready = true;
      this.attempts = 0;
      this.publishLink();
      this.schedulePing();
      // Whatever happened while the socket was away is caught up by one refetch.
      this.hint("task.changed");
      this.hint("command.changed");
      this.hint("agent.changed");
    } else if (frame.type === "pong") {
      window.clearTimeout(this.pongTimer);
    } else if (frame.type === "event" && frame.topic) {
      this.hint(frame.topic);
    }
  }

  private hint(topic: Topic) {
    this.hints.add(topic);
    if (this.flushTimer) return;
    const wait = Math.max(0, this.lastFlush + gather - Date.now());
    this.flushTimer = window.setTimeout(() => {
      this.flushTimer = 0;
      this.lastFlush = Date.now();
      const topics = this.hints;
      this.hints = new Set();
      for (const listener of this.topicListeners) listener(topics);
    }, wait);
  }

  private schedulePing() {
    window.clearTimeout(this.pingTimer);
    this.pingTimer = window.setTimeout(() => {
      if (!this.ready || !this.socket) return;
      this.socket.send('{"type":"ping"}');
      this.pongTimer = window.setTimeout(() => this.socket?.close(4000), pongWithin);
      this.schedulePing();
    }, pingEvery);
  }

  private closed(socket: WebSocket, code: number) {
    if (this.stopped || socket !== this.socket) return;
    this.ready = false;
    window.clearTimeout(this.pingTimer);
    window.clearTimeout(this.pongTimer);
    if (code === 4401) {
      this.onUnauthenticated();
      return;
    }
    const base = retryDelays[Math.min(this.attempts, retryDelays.length - 1)] ?? 30_000;
    this.attempts++;
    this.publishLink();
    this.retryTimer = window.setTimeout(() => this.connect(), base * (0.8 + Math.random() * 0.4));
  }

  private publishLink() {
    const next = linkOf(this.ready, this.reachable, this.attempts);
    if (next === this.link) return;
    this.link = next;
    for (const listener of this.linkListeners) listener();
  }
}

/** linkOf is the indicator's rule: a ready socket wins, then reachability, then how often connecting failed. */
export function linkOf(ready: boolean, reachable: boolean, attempts: number): Link {
  if (ready) return "live";
  if (!reachable) return "offline";
  if (attempts === 0) return "connecting";
  return attempts <= 3 ? "reconnecting" : "polling";
}
