declare module 'cli-progress' {
  /** The part of the library that is used here. */
  export class SingleBar {
    constructor(options: {
      readonly format: string;
      readonly stream: NodeJS.WritableStream;
      readonly clearOnComplete: boolean;
      readonly hideCursor: boolean;
      readonly etaBuffer: number;
    });
    start(total: number, value: number, payload: object): void;
    update(value: number, payload: object): void;
    stop(): void;
  }
  const library: { readonly SingleBar: typeof SingleBar };
  // The library is CommonJS: what it exports is the default.
  // biome-ignore lint/style/noDefaultExport: see above
  export default library;
}
