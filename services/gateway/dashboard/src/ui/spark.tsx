// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Tone } from "./state";
import { toneText } from "./state";

/**
 * Sparkline: small bars for a table cell, one per bucket, zero-based. With `failed` the failed part of each bar
 * stands at the bottom in red. `label` says the same in words ("Ended tasks, last 24 hours") and gets the peak.
 */
export function Sparkline({
  values,
  failed,
  label,
  tone = "wait",
  width = 96,
  height = 20,
}: {
  values: (number | null)[];
  failed?: (number | null)[];
  label: string;
  tone?: Tone;
  width?: number;
  height?: number;
}) {
  const peak = values.reduce<number>((max, value) => Math.max(max, value ?? 0), 0);
  const step = width / Math.max(1, values.length);
  const bar = Math.max(1, step - 1);
  const tall = (value: number) => (peak === 0 || value <= 0 ? 0 : Math.max(1.5, (value / peak) * height));
  const bars = (of: (number | null)[]) =>
    of
      .map((value, i) => {
        const h = tall(value ?? 0);
        return h
          ? `M${(i * step).toFixed(1)} ${height}v-${h.toFixed(1)}h${bar.toFixed(1)}v${h.toFixed(1)}z`
          : "";
      })
      .join("");
  const failures = failed?.reduce<number>((sum, value) => sum + (value ?? 0), 0) ?? 0;
  const text = `${label}: peak ${peak}${failed ? `, ${failures} failed` : ""}`;
  return (
    <svg
      role="img"
      aria-label={text}
      viewBox={`0 0 ${width} ${height}`}
      width={width}
      height={height}
      className={`shrink-0 ${toneText[tone]}`}
    >
      <title>{text}</title>
      <path d={`M0 ${height - 0.5}H${width}`} stroke="var(--color-line)" fill="none" />
      <path d={bars(values)} fill="currentColor" opacity="0.55" />
      {failed && <path d={bars(failed)} fill="var(--color-bad-fill)" />}
    </svg>
  );
}
