// SPDX-License-Identifier: Apache-2.0

/** What TLS itself says of certificates when it ends a handshake: the other side's alerts, and the library's own errors. */

/** Alerts about certificates (RFC 8446, 6.2), by the runtime's names for them: the standard's, and what it means. */
const ALERTS: Readonly<Record<string, readonly [name: string, meaning: string]>> = {
  BadCertificate: ["bad_certificate", "it is corrupt, or its signature does not hold"],
  UnsupportedCertificate: [
    "unsupported_certificate",
    "it is of a kind that is not supported there",
  ],
  CertificateRevoked: ["certificate_revoked", "its CA has revoked it"],
  CertificateExpired: [
    "certificate_expired",
    "it has expired or is not valid yet, by the clock there",
  ],
  CertificateUnknown: ["certificate_unknown", "for a reason that TLS has no name for"],
  UnknownCA: ["unknown_ca", "its CA is not known there"],
  AccessDenied: ["access_denied", "it is good, and its owner may not connect"],
  CertificateRequired: ["certificate_required", "there is none"],
  DecryptError: ["decrypt_error", "a signature made with its key does not hold"],
};

/** Words that follow "the other side refuses this host's certificate: "; undefined: the error is no alert about one. */
export function certificateRefusal(error: string): string | undefined {
  const [, alert = ""] = /received fatal alert: (\w+)/.exec(error) ?? [];
  const [name, meaning] = Object.hasOwn(ALERTS, alert) ? ALERTS[alert] ?? [] : [];
  return name === undefined ? undefined : `${meaning} (TLS alert ${name})`;
}

/** Whether the TLS library itself did not take the other side's certificate, whatever it was told to leave to others. */
export function isOfCertificate({ code = "" }: { readonly code?: string }): boolean {
  return /CERT|VERIFY|ISSUER/.test(code) && !code.startsWith("ERR_SSL");
}
