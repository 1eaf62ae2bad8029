// SPDX-License-Identifier: Apache-2.0

/** DHCP leases as they are kept for the next start. */

/** One address and who has it. */
export interface KeptLease {
  readonly address: string;
  readonly mac: string;
  /** Of the wall clock. */
  readonly untilMs: number;
}

/** Where the leases of one network outlive the process. */
export interface LeaseBook {
  all(): readonly KeptLease[];
  put(lease: KeptLease): void;
  remove(address: string): void;
}
