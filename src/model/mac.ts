// SPDX-License-Identifier: Apache-2.0

/** Whether frames to this MAC, as text, can be for one station: it is no group's, and not zero. */
export function isUnicastMac(mac: string): boolean {
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== "00:00:00:00:00:00";
}
