// SPDX-License-Identifier: AGPL-3.0-or-later
import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";
import { CloseIcon } from "./icons";
import { type Tone, toneText } from "./state";

interface Toast {
  id: number;
  tone: Tone;
  body: ReactNode;
}

type Show = (tone: Tone, body: ReactNode) => void;

const ToastContext = createContext<Show>(() => undefined);
export const useToast = () => useContext(ToastContext);

const shownFor = 7000;

export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(1);
  const timers = useRef(new Set<number>());
  useEffect(() => {
    const all = timers.current;
    return () => {
      for (const timer of all) window.clearTimeout(timer);
    };
  }, []);
  const remove = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), []);
  const show = useCallback<Show>(
    (tone, body) => {
      const id = next.current++;
      setToasts((all) => [...all.slice(-2), { id, tone, body }]);
      timers.current.add(window.setTimeout(() => remove(id), shownFor));
    },
    [remove],
  );
  const list = useMemo(
    () => (
      <section
        aria-label="Notifications"
        aria-live="polite"
        className="pointer-events-none fixed right-4 bottom-14 z-50 flex w-[min(24rem,calc(100vw-2rem))] flex-col gap-2 max-md:bottom-18"
      >
        {toasts.map((toast) => (
          <div
            key={toast.id}
            className={`pointer-events-auto flex items-start gap-2 rounded-md border border-current bg-panel px-3 py-2 ${toneText[toast.tone]}`}
          >
            <div className="min-w-0 flex-1 text-ink">{toast.body}</div>
            <button
              type="button"
              aria-label="Dismiss"
              className="grid size-5 place-items-center rounded-md text-soft hover:text-ink"
              onClick={() => remove(toast.id)}
            >
              <CloseIcon className="size-3.5" />
            </button>
          </div>
        ))}
      </section>
    ),
    [toasts, remove],
  );
  return (
    <ToastContext.Provider value={show}>
      {children}
      {list}
    </ToastContext.Provider>
  );
}
