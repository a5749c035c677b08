/** Sums without rounding, by whole numbers of the smallest double. */

const smallestExponent = 1_074

/** A finite double as a multiple of 2^-1074. */
function units(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, Math.abs(value))
  const bits = view.getBigUint64(0)
  const exponent = Number(bits >> 52n)
  const fraction = bits & ((1n << 52n) - 1n)
  const magnitude = exponent === 0 ? fraction : (fraction | (1n << 52n)) << BigInt(exponent - 1)
  return value < 0 ? -magnitude : magnitude
}

/** The exact sum, rounded to a double once (towards zero; one unit in the last place at most). */
export function nearestSum(values: readonly number[]): number {
  let sum = 0n
  for (const value of values) sum += units(value)
  const magnitude = sum < 0n ? -sum : sum
  const surplus = Math.max(0, magnitude.toString(2).length - 53)
  const rounded = Number(magnitude >> BigInt(surplus)) * 2 ** (surplus - smallestExponent / 2) * 2 ** (-smallestExponent / 2)
  return sum < 0n ? -rounded : rounded
}
