"""Where a ratchet leads: a name and a device."""

from dataclasses import dataclass

from perene.signal.errors import InvalidAddress

_MAX_DEVICE = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Address:
    """A Signal address; as text "name.device". The name may hold dots, the device is a uint32."""

    name: str
    device: int

    def __str__(self) -> str:
        return f"{self.name}.{self.device}"

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read what `str` wrote, or raise InvalidAddress."""
        name, dot, device = text.rpartition(".")
        plain = device.isascii() and device.isdecimal() and str(int(device[:10])) == device
        if not dot or not name or not plain or int(device) > _MAX_DEVICE:
            raise InvalidAddress("an address is a name, a dot and a device number")
        return cls(name, int(device))
