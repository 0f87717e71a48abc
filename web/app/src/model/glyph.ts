/** A picture for a thing, from its types, its title and what it measures. */

import { type ThingDescription, typesOf } from "@plait/sdk";
import {
  BatteryMedium,
  Bell,
  Blinds,
  Bot,
  Car,
  Cctv,
  CloudSun,
  Droplets,
  Fan,
  FolderOpen,
  Gauge,
  type IconNode,
  Lightbulb,
  Lock,
  Plug,
  Power,
  Radio,
  Speaker,
  Thermometer,
  ToggleRight,
  Wind,
} from "lucide";
import { isCamera } from "./plan.ts";

const GLYPHS: readonly (readonly [RegExp, IconNode])[] = [
  [/camera|cctv/i, Cctv],
  [/light|lamp|bulb/i, Lightbulb],
  [/doorbell|chime|alarm|siren/i, Bell],
  [/lock|door/i, Lock],
  [/humid|moisture|leak/i, Droplets],
  [/thermo|temperature|heat|celsius/i, Thermometer],
  [/weather/i, CloudSun],
  [/vacuum|robot/i, Bot],
  [/air|co2|wind/i, Wind],
  [/fan\b|ventil/i, Fan],
  [/blind|curtain|shutter/i, Blinds],
  [/plug|outlet|socket|energy|meter/i, Plug],
  [/speaker|sound/i, Speaker],
  [/car\b|vehicle|dashcam|truck/i, Car],
  [/battery/i, BatteryMedium],
  [/onoffswitch|switch/i, ToggleRight],
  [/sensor|machine|gauge/i, Gauge],
  [/shelf|archive|files/i, FolderOpen],
];

export function glyphFor(description: ThingDescription): IconNode {
  if (isCamera(description)) {
    return Cctv;
  }
  const properties = Object.entries(description.properties ?? {});
  const clues = [
    typesOf(description).join(" "),
    description.title,
    properties.map(([name, schema]) => `${name} ${schema.unit ?? ""}`).join(" "),
  ];
  for (const clue of clues) {
    const found = GLYPHS.find(([pattern]) => pattern.test(clue));
    if (found !== undefined) {
      return found[1];
    }
  }
  return properties.some(([, schema]) => schema.type === "boolean") ? Power : Radio;
}
