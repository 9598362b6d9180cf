// SPDX-License-Identifier: AGPL-3.0-or-later
import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback, useId, useMemo, useState } from "react";
import { formatAbsolute, fromField, toField, zoneName } from "../api/time";
import { useRounded, useZone } from "../ui/clock";
import { Button, inputClass } from "../ui/controls";
import { CheckIcon, ClockIcon } from "../ui/icons";
import { Popover } from "../ui/popover";
import {
  defaultPreset,
  fitWindow,
  liveWindow,
  type Preset,
  parseRange,
  presetLabel,
  presets,
  spanText,
  stepMs,
} from "./window";

export interface Range {
  /** The preset in use; null for a fixed window. */
  range: Preset | null;
  from: Date;
  to: Date;
  /** Whether the window moves with the clock. */
  live: boolean;
  /** Both ends for the API. The same text between two steps of a live window, so it may be part of a query key. */
  query: { from: string; to: string };
  /** What the window is, not where it stands: "24h" or "from..to". In a query key it avoids an entry per step. */
  key: string;
  /** For a heading or a tooltip: "Last 24 hours" or both ends. */
  label: string;
  setRange: (preset: Preset) => void;
  /** Brush to zoom ends here. */
  setWindow: (from: Date | number, to: Date | number) => void;
  /** Stops a live window where it stands. */
  freeze: () => void;
}

/**
 * useRange is the one window of time that rules every chart, count and list of a page. It lives in the address
 * (`range=` or `from=`&`to=`) and stays from page to page.
 *
 * A live window ends a moment in the future (window.ts), so an answer asked for after a push hint holds the news.
 * When the window is part of the query key, give the query `placeholderData: keepPreviousData`.
 */
export function useRange(): Range {
  const search = useSearch({ strict: false });
  const navigate = useNavigate();
  const zone = useZone();
  const parsed = parseRange(search);
  const fixedFrom = parsed.from ?? null;
  const fixedTo = parsed.to ?? null;
  const range = fixedFrom === null ? (parsed.range ?? defaultPreset) : null;
  const tick = useRounded(range ? stepMs[range] : null);
  const set = useCallback(
    (next: { range?: Preset; from?: string; to?: string }) =>
      void navigate({
        to: ".",
        search: ((old: Record<string, unknown>) => ({
          ...old,
          range: next.range,
          from: next.from,
          to: next.to,
        })) as never,
      }),
    [navigate],
  );
  return useMemo(() => {
    const { from, to } = range
      ? liveWindow(range, tick)
      : { from: Date.parse(fixedFrom ?? ""), to: Date.parse(fixedTo ?? "") };
    const query = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
    const setWindow = (a: Date | number, b: Date | number) => {
      const fixed = fitWindow(+a, +b);
      if (fixed) set({ from: new Date(fixed.from).toISOString(), to: new Date(fixed.to).toISOString() });
    };
    return {
      range,
      from: new Date(from),
      to: new Date(to),
      live: range !== null,
      query,
      key: range ?? `${query.from}..${query.to}`,
      label: range ? presetLabel(range) : `${formatAbsolute(from, zone)} – ${formatAbsolute(to, zone)}`,
      setRange: (preset) => set({ range: preset }),
      setWindow,
      freeze: () => setWindow(from, to),
    };
  }, [range, tick, fixedFrom, fixedTo, zone, set]);
}

/** RangePicker stands in the top bar of every page with numbers. */
export function RangePicker() {
  const range = useRange();
  const [open, setOpen] = useState(false);
  const span = spanText(range.to.getTime() - range.from.getTime());
  return (
    <Popover
      open={open}
      onOpenChange={setOpen}
      align="end"
      label="Time range"
      trigger={
        <button
          type="button"
          data-testid="range"
          data-range={range.range ?? "custom"}
          title={range.live ? `${range.label}, moving with the clock` : `${range.label}, frozen`}
          aria-label={`Time range: ${range.label}${range.live ? ", live" : ", frozen"}`}
          className="inline-flex h-8 items-center gap-1.5 rounded-md border border-line px-2 whitespace-nowrap hover:bg-raised max-sm:h-10"
        >
          <ClockIcon className={`size-4 ${range.live ? "text-good" : "text-warn"}`} />
          <span className="max-lg:hidden">{range.range ? presetLabel(range.range) : `${span}, frozen`}</span>
          <span className="lg:hidden">{range.range ?? span}</span>
        </button>
      }
    >
      <Choices range={range} onDone={() => setOpen(false)} />
    </Popover>
  );
}

function Choices({ range, onDone }: { range: Range; onDone: () => void }) {
  const zone = useZone();
  const id = useId();
  const [from, setFrom] = useState(() => toField(range.from.getTime(), zone));
  const [to, setTo] = useState(() => toField(Math.min(range.to.getTime(), Date.now()), zone));
  const a = fromField(from, zone);
  const b = fromField(to, zone);
  const wrong =
    a === null || b === null
      ? "Both ends need a date and a time"
      : b <= a
        ? "The end has to be after the start"
        : null;
  return (
    <div className="w-64 space-y-3 p-2">
      <div role="group" aria-label="Ending now">
        {presets.map((preset) => (
          <button
            key={preset}
            type="button"
            aria-pressed={range.range === preset}
            onClick={() => {
              range.setRange(preset);
              onDone();
            }}
            className="flex h-8 w-full items-center gap-2 rounded-md px-2 text-left hover:bg-raised aria-pressed:bg-accent-wash max-sm:h-11"
          >
            <CheckIcon className={range.range === preset ? "size-4 text-accent" : "invisible size-4"} />
            {presetLabel(preset)}
          </button>
        ))}
      </div>
      <form
        className="space-y-2 border-line border-t pt-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (wrong || a === null || b === null) return;
          range.setWindow(a, b);
          onDone();
        }}
      >
        <label className="block text-xs" htmlFor={`${id}-from`}>
          From
          <input
            id={`${id}-from`}
            type="datetime-local"
            step={1}
            value={from}
            onChange={(event) => setFrom(event.target.value)}
            className={inputClass}
          />
        </label>
        <label className="block text-xs" htmlFor={`${id}-to`}>
          To
          <input
            id={`${id}-to`}
            type="datetime-local"
            step={1}
            value={to}
            onChange={(event) => setTo(event.target.value)}
            className={inputClass}
          />
        </label>
        <p className="text-xs text-soft">
          {wrong ?? `Times in ${zoneName(zone)}. You can also drag over any chart.`}
        </p>
        <div className="flex gap-2">
          <Button type="submit" kind="primary" reason={wrong} className="flex-1">
            Show this window
          </Button>
          {range.live && (
            <Button
              title="Keep looking at this window while the clock goes on"
              onClick={() => {
                range.freeze();
                onDone();
              }}
            >
              Freeze
            </Button>
          )}
        </div>
      </form>
    </div>
  );
}
