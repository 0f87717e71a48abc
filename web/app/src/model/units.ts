/** How units of Thing Descriptions (QUDT, OM and plain names) are written for people. */

const SYMBOLS: Readonly<Record<string, string>> = {
  percent: "%",
  degreecelsius: "°C",
  celsius: "°C",
  degreefahrenheit: "°F",
  kelvin: "K",
  watt: "W",
  kilowatt: "kW",
  watthour: "Wh",
  kilowatthour: "kWh",
  volt: "V",
  ampere: "A",
  hertz: "Hz",
  lux: "lx",
  pascal: "Pa",
  hectopascal: "hPa",
  bar: "bar",
  metre: "m",
  meter: "m",
  centimetre: "cm",
  millimetre: "mm",
  kilometre: "km",
  kilometreperhour: "km/h",
  metrepersecond: "m/s",
  second: "s",
  millisecond: "ms",
  minute: "min",
  hour: "h",
  degree: "°",
  decibel: "dB",
  partspermillion: "ppm",
  partsperbillion: "ppb",
  microgrampercubicmetre: "µg/m³",
  byte: "B",
  revolutionsperminute: "rpm",
};

/** Return the symbol of a unit; one that is not known is shown as it is. */
export function symbolOf(unit: string | undefined): string {
  if (unit === undefined) {
    return "";
  }
  const bare = unit.replace(/^.*[:#/](?=[A-Za-z])/, "");
  return SYMBOLS[bare.toLowerCase().replaceAll(/[-_ ]/g, "")] ?? unit;
}

/** Whether the symbol stands right behind the number. */
export function sticks(symbol: string): boolean {
  return symbol === "°";
}
