export const placeholder: TextEncoder = new TextEncoder();
