/**
 * For tests: certificates made on the spot, so that no key lies in the repository and none expires. X.509 v3 by hand in
 * DER (RFC 5280), ECDSA on P-256, valid for a day. Not for production: there, certificates come from the operator.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface TestCertificateOptions {
  readonly commonName: string;
  /** DNS names and IPv4 addresses. Default: localhost and 127.0.0.1. */
  readonly names?: readonly string[];
  /** Whoever signs; absent: it signs itself and is a CA. */
  readonly issuer?: TestCertificate & { readonly commonName: string };
}

export function makeTestCertificate(
  options: TestCertificateOptions,
): TestCertificate & { readonly commonName: string } {
  const { commonName, issuer, names = ['localhost', '127.0.0.1'] } = options;
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signer = issuer === undefined ? privateKey : createPrivateKey(issuer.key);
  const body = sequence(
    explicit(0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    signatureAlgorithm,
    distinguishedName(issuer?.commonName ?? commonName),
    sequence(time(-3_600_000), time(86_400_000)),
    distinguishedName(commonName),
    publicKey.export({ type: 'spki', format: 'der' }),
    explicit(3, sequence(basicConstraints(issuer === undefined), subjectAlternativeNames(names))),
  );
  const der = sequence(body, signatureAlgorithm, bitString(signWith(signer, body)));
  const lines = der.toString('base64').replace(/(.{64})/g, '$1\n');
  return {
    commonName,
    cert: `-----BEGIN CERTIFICATE-----\n${lines.trimEnd()}\n-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

function signWith(key: KeyObject, bytes: Buffer): Buffer {
  return sign('sha256', bytes, key);
}

function element(tag: number, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const sequence = (...contents: Uint8Array[]): Buffer => element(0x30, ...contents);
const explicit = (number: number, content: Uint8Array): Buffer => element(0xa0 + number, content);
const integer = (bytes: Uint8Array): Buffer => element(0x02, bytes);
const bitString = (bytes: Uint8Array): Buffer => element(0x03, Buffer.from([0]), bytes);
const oid = (hex: string): Buffer => element(0x06, Buffer.from(hex, 'hex'));

/** ecdsa-with-SHA256 */
const signatureAlgorithm = sequence(oid('2a8648ce3d040302'));

function distinguishedName(commonName: string): Buffer {
  return sequence(element(0x31, sequence(oid('550403'), element(0x0c, Buffer.from(commonName)))));
}

function time(offsetMs: number): Buffer {
  const text = new Date(Date.now() + offsetMs).toISOString();
  return element(0x18, Buffer.from(`${text.replace(/[-:T]|\.\d+/g, '')}`));
}

function basicConstraints(isCa: boolean): Buffer {
  const value = sequence(...(isCa ? [element(0x01, Buffer.from([0xff]))] : []));
  return sequence(oid('551d13'), element(0x01, Buffer.from([0xff])), element(0x04, value));
}

function subjectAlternativeNames(names: readonly string[]): Buffer {
  const entries = names.map((name) =>
    isIP(name) === 4 ? element(0x87, Buffer.from(name.split('.').map(Number))) : element(0x82, Buffer.from(name)),
  );
  return sequence(oid('551d11'), element(0x04, sequence(...entries)));
}
