// SPDX-License-Identifier: AGPL-3.0-or-later

/** TailName is a dotted name that may have to be cut: it loses its start, because names differ at their end. */
export function TailName({ name, className = "" }: { name: string; className?: string }) {
  return (
    <span dir="rtl" title={name} className={`block truncate text-left ${className}`}>
      <bdi dir="ltr">{name}</bdi>
    </span>
  );
}
