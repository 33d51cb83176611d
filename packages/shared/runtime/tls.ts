/**
 * TLS of the listeners: which versions, suites and protocols are spoken, what is asked of clients, and how certificates are
 * read and replaced while connections stay open.
 *
 * TLS 1.2 with forward secrecy and authenticated encryption, or 1.3. Never renegotiates, never answers a plaintext client.
 * A new certificate is taken only if it fits its key; otherwise the old one stays and the reason is logged.
 */
import { unwatchFile, watchFile } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type TlsOptions } from 'node:tls';
import { DomainError, type Logger } from '@fleetmq/shared';

/** PEM texts of a node. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  /** Certificates that peers must be signed by; required when client certificates are asked for. */
  readonly ca?: string | undefined;
}

export interface ServerTls extends TlsMaterial {
  /** `required`: no connection without a verified certificate. `optional`: an unverified one counts as none. Default `none`. */
  readonly clientCertificate?: 'none' | 'optional' | 'required';
}

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile?: string | undefined;
}

const ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** Options for a TLS server that speaks HTTP/2 and HTTP/1.1. Throws INVALID_CONFIG when certificate and key do not fit. */
export function tlsServerOptions(tls: ServerTls, handshakeTimeoutMs: number): TlsOptions {
  const { clientCertificate = 'none', cert, key, ca } = tls;
  if (clientCertificate !== 'none' && ca === undefined) {
    throw new DomainError('INVALID_CONFIG', 'client certificates are asked for, but no CA is given to verify them');
  }
  checkMaterial(tls);
  return {
    cert,
    key,
    ...(ca === undefined ? {} : { ca }),
    ciphers,
    honorCipherOrder: true,
    minVersion: 'TLSv1.2',
    ALPNProtocols: ['h2', 'http/1.1'],
    requestCert: clientCertificate !== 'none',
    rejectUnauthorized: clientCertificate === 'required',
    handshakeTimeout: handshakeTimeoutMs,
  };
}

/** Throws INVALID_CONFIG unless the texts are a certificate with its key. */
export function checkMaterial({ cert, key, ca }: TlsMaterial): void {
  try {
    createSecureContext({ cert, key, ...(ca === undefined ? {} : { ca }) });
  } catch (error) {
    throw new DomainError('INVALID_CONFIG', `certificate and key cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** Reads the files of a node's certificate and checks that they fit. INVALID_CONFIG names the file that cannot be read. */
export async function loadTlsFiles(files: TlsFiles): Promise<TlsMaterial> {
  const [cert, key, ca] = await Promise.all([
    readPem(files.certFile),
    readPem(files.keyFile),
    files.caFile === undefined ? undefined : readPem(files.caFile),
  ]);
  const material: TlsMaterial = { cert, key, ca };
  checkMaterial(material);
  return material;
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new DomainError('INVALID_CONFIG', `cannot read ${path}: ${(error as NodeJS.ErrnoException).code}`, {
      cause: error,
    });
  }
}

export interface WatchTlsOptions {
  /** How often the files are looked at. Default 10 s. */
  readonly pollMs?: number;
  readonly logger: Logger;
}

/** Calls `onChange` with the new material each time the files change and fit together again. Dispose to stop. */
export function watchTlsFiles(
  files: TlsFiles,
  onChange: (material: TlsMaterial) => void,
  options: WatchTlsOptions,
): Disposable {
  const paths = [files.certFile, files.keyFile, files.caFile].filter((path) => path !== undefined);
  const reload = async (): Promise<void> => {
    try {
      onChange(await loadTlsFiles(files));
      options.logger.info({ certFile: files.certFile }, 'certificate reloaded');
    } catch (error) {
      // A certificate and its key are two files: between the two writes they do not fit, and the next change comes soon.
      options.logger.warn({ err: error, certFile: files.certFile }, 'the old certificate stays in use');
    }
  };
  const listener = (): void => void reload();
  for (const path of paths) watchFile(path, { interval: options.pollMs ?? 10_000, persistent: false }, listener);
  return {
    [Symbol.dispose]() {
      for (const path of paths) unwatchFile(path, listener);
    },
  };
}
