// SPDX-License-Identifier: AGPL-3.0-or-later
import type { Option } from "../ui/combobox";

/** offsetText is a zone's distance from UTC at an instant: "UTC+05:30". */
export function offsetText(zone: string, at: number): string {
  try {
    const parts = new Intl.DateTimeFormat("en-US", {
      timeZone: zone,
      timeZoneName: "longOffset",
    }).formatToParts(at);
    const name = parts.find((part) => part.type === "timeZoneName")?.value ?? "";
    return name === "GMT" ? "UTC+00:00" : name.replace("GMT", "UTC");
  } catch {
    return "";
  }
}

/** Browsers list some zones under names that were replaced long ago; people look for the name of today. */
const renamed: Record<string, string> = {
  "Africa/Asmera": "Africa/Asmara",
  "America/Buenos_Aires": "America/Argentina/Buenos_Aires",
  "America/Catamarca": "America/Argentina/Catamarca",
  "America/Coral_Harbour": "America/Atikokan",
  "America/Cordoba": "America/Argentina/Cordoba",
  "America/Godthab": "America/Nuuk",
  "America/Indianapolis": "America/Indiana/Indianapolis",
  "America/Jujuy": "America/Argentina/Jujuy",
  "America/Louisville": "America/Kentucky/Louisville",
  "America/Mendoza": "America/Argentina/Mendoza",
  "Asia/Calcutta": "Asia/Kolkata",
  "Asia/Katmandu": "Asia/Kathmandu",
  "Asia/Rangoon": "Asia/Yangon",
  "Asia/Saigon": "Asia/Ho_Chi_Minh",
  "Atlantic/Faeroe": "Atlantic/Faroe",
  "Europe/Kiev": "Europe/Kyiv",
  "Pacific/Enderbury": "Pacific/Kanton",
  "Pacific/Ponape": "Pacific/Pohnpei",
  "Pacific/Truk": "Pacific/Chuuk",
};

/** zoneOptions: UTC and the browser's own zone first, then every zone that the browser knows, by name. */
export function zoneOptions(current: string, browser: string, at: number): Option[] {
  const first = ["UTC", browser, current].filter(Boolean);
  const names = [
    ...new Set([...first, ...Intl.supportedValuesOf("timeZone").map((name) => renamed[name] ?? name)]),
  ];
  return names.map((name) => ({
    value: name,
    label: name.replaceAll("_", " "),
    note: name === browser && name !== "UTC" ? `${offsetText(name, at)}, this browser` : offsetText(name, at),
  }));
}
