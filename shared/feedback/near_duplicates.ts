// Which texts are nearly the same as an earlier one, in time near to linear: MinHash (Broder 1997) with banding proposes,
// the Jaccard similarity of the shingle sets decides. It knows texts only; nothing of prompts, labels or rows.

/** A text in parts that must each be near: two answers to one long prompt are not near because the prompt is the same. */
export type TextParts = readonly string[];

/** Jaccard similarity of the shingle sets from which on two parts are near. */
export const nearSimilarity = 0.8;

/** Characters of a shingle: enough to hold a word and its neighbour's beginning, in any script. */
const shingleLength = 5;
/** Of a longer part the end counts: conversations begin alike and end apart. */
const longestPart = 4000;
/**
 * A set's least hashes stand for it (a bottom-k sketch): up to so many shingles similarities are exact, beyond their
 * standard error is 0.025.
 */
const sketchSize = 256;
/** Fewer are enough to propose by. */
const proposingSize = 64;
const bands = 20;
const rowsPerBand = 5;
const signatureLength = bands * rowsPerBand;
/** Earlier texts of one band that a text is compared with; keeps a crowd of half-similar texts linear. */
const mostComparisons = 8;

/**
 * For each text the index of an earlier one that it is nearly, or -1. A text that is nearly an earlier one is not
 * compared with later ones, so that many versions of a text all lead to the first.
 *
 * Two texts are proposed when all 5 hashes of one of 20 bands agree: at a similarity of 0.8 with a probability of
 * 1 − (1 − 0.8⁵)²⁰ = 0.9996, at 0.4 of 0.19. Of a band's crowd only the latest few are compared, so among many texts
 * that are half alike some near ones may be missed.
 */
export function nearDuplicates(texts: readonly TextParts[]): number[] {
  const latest = Array.from({ length: bands }, () => new Map<number, number>());
  // Texts of one bucket, from the latest back: text `i` of band `b` is followed by before[bands * i + b].
  const before = new Int32Array(bands * texts.length).fill(-1);
  const sketches: Uint32Array[][] = [];
  const signature = new Uint32Array(signatureLength);
  return texts.map((parts, index) => {
    const own = parts.map(sketchOf);
    sign(own, signature);
    const keys = latest.map((_, band) => bandKey(signature, band));
    const compared = new Set<number>();
    for (const [band, key] of keys.entries()) {
      let earlier = latest[band]!.get(key) ?? -1;
      for (let k = 0; k < mostComparisons && earlier >= 0; k++, earlier = before[bands * earlier + band]!) {
        if (compared.has(earlier)) continue;
        compared.add(earlier);
        const other = sketches[earlier]!;
        if (own.every((sketch, part) => jaccard(sketch, other[part]!) >= nearSimilarity)) return earlier;
      }
    }
    sketches[index] = own;
    for (const [band, key] of keys.entries()) {
      before[bands * index + band] = latest[band]!.get(key) ?? -1;
      latest[band]!.set(key, index);
    }
    return -1;
  });
}

/** The least hashes of a text's shingles, ascending, each once. Case and white space do not count. */
function sketchOf(text: string): Uint32Array {
  const plain = text.slice(-longestPart).toLowerCase().replace(/\s+/g, " ").trim();
  const count = Math.max(1, plain.length - shingleLength + 1);
  const hashes = new Uint32Array(count);
  for (let start = 0; start < count; start++) {
    // FNV-1a over the shingle's UTF-16 units, finished as MurmurHash3 does so that low bits depend on all of them.
    let hash = 0x811c9dc5;
    for (let i = start; i < Math.min(plain.length, start + shingleLength); i++) {
      hash = Math.imul(hash ^ plain.charCodeAt(i), 0x01000193);
    }
    hashes[start] = finish(hash);
  }
  // Of a long text about twice the wanted number are sorted instead of all; where words repeat too much for that, all.
  const likely = count > 4 * sketchSize
    ? leastOf(hashes.filter((hash) => hash < 2 ** 33 * sketchSize / count))
    : hashes;
  return likely !== hashes && likely.length === sketchSize ? likely : leastOf(hashes);
}

function leastOf(hashes: Uint32Array): Uint32Array {
  hashes.sort();
  let distinct = 0;
  for (let i = 0; i < hashes.length && distinct < sketchSize; i++) {
    if (distinct === 0 || hashes[i] !== hashes[distinct - 1]) hashes[distinct++] = hashes[i]!;
  }
  return hashes.slice(0, distinct);
}

function finish(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** Odd factors and offsets of the signature's hash functions, h(x) = a·x + b modulo 2³². */
const factors = Uint32Array.from({ length: signatureLength }, (_, i) => finish(2 * i + 1) | 1);
const offsets = Uint32Array.from({ length: signatureLength }, (_, i) => finish(2 * i + 2));

/** The least value of each hash function over the shingles of all parts. */
function sign(parts: readonly Uint32Array[], signature: Uint32Array): void {
  signature.fill(0xffffffff);
  for (const [part, sketch] of parts.entries()) {
    for (let s = 0; s < Math.min(proposingSize, sketch.length); s++) {
      // The same shingle in prompt and answer is two shingles.
      const shingle = sketch[s]! ^ part;
      for (let i = 0; i < signatureLength; i++) {
        const value = (Math.imul(shingle, factors[i]!) + offsets[i]!) >>> 0;
        if (value < signature[i]!) signature[i] = value;
      }
    }
  }
}

function bandKey(signature: Uint32Array, band: number): number {
  let key = 0x811c9dc5;
  for (let i = band * rowsPerBand; i < (band + 1) * rowsPerBand; i++) key = finish(key ^ signature[i]!);
  return key;
}

/** Jaccard similarity of two sets from their sketches: the share of their union's least hashes that both have. */
function jaccard(a: Uint32Array, b: Uint32Array): number {
  let shared = 0, union = 0, i = 0, j = 0;
  for (; union < sketchSize && i < a.length && j < b.length; union++) {
    if (a[i] === b[j]) {
      shared++;
      i++;
      j++;
    } else if (a[i]! < b[j]!) i++;
    else j++;
  }
  return shared / Math.min(sketchSize, union + (a.length - i) + (b.length - j));
}
