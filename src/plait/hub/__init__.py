"""The hub: the Thing towards apps, and a bridge to the devices that dialled in."""
