// SPDX-License-Identifier: AGPL-3.0-or-later

/** change compares a number with the one of the window before; null when there is nothing to compare. */
export function change(
  now: number | null | undefined,
  before: number | null | undefined,
): { dir: -1 | 0 | 1; text: string } | null {
  if (now === null || now === undefined || before === null || before === undefined) return null;
  if (now === before) return { dir: 0, text: "as before" };
  const dir = now > before ? 1 : -1;
  if (before === 0) return { dir, text: "from 0" };
  const percent = Math.abs((now - before) / before) * 100;
  if (percent >= 1000) return { dir, text: `${(now / before).toFixed(0)} times` };
  if (percent < 0.5) return { dir: 0, text: "as before" };
  return { dir, text: `${percent < 10 ? percent.toFixed(1) : percent.toFixed(0)} %` };
}

/** formatPercent of a rate between 0 and 1: enough digits to tell 0.02 % from none. */
export function formatPercent(rate: number | null | undefined): string {
  if (rate === null || rate === undefined || Number.isNaN(rate)) return "–";
  const percent = rate * 100;
  if (percent === 0) return "0 %";
  if (percent < 0.01) return "< 0.01 %";
  if (percent < 1) return `${percent.toFixed(2)} %`;
  return `${percent.toFixed(percent < 10 ? 1 : 0)} %`;
}

/** formatRate of things per minute, in the unit that reads best: 0.4/min, 12/min, 8.3/s. */
export function formatRate(perMinute: number | null | undefined): string {
  if (perMinute === null || perMinute === undefined || Number.isNaN(perMinute)) return "–";
  const short = (n: number) => (n < 10 ? Number(n.toFixed(1)) : Math.round(n));
  if (perMinute === 0) return "0/min";
  if (perMinute < 0.1) return `${short(perMinute * 60)}/h`;
  if (perMinute < 300) return `${short(perMinute)}/min`;
  return `${short(perMinute / 60)}/s`;
}
