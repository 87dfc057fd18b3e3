"""A node's folder: `config.toml`, `keys/`, `store/`, `recall/`, the control socket.

`initialise` makes one person's federation: a 1-of-1 root, an org, an issuer, a node and an agent,
all keys in one keyring, so that one laptop needs nobody else. `place` tells whether the store
still lies where it was written: a copy must not go on with the original's logs.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hive.custody.file import FileKeyring, create_keyring
from hive.custody.passphrase import Passphrase, from_unlock_file, make_unlock_file
from hive.custody.signer import HeldKey, MissingPassphrase
from hive.errors import ConfigError, StateError, StoreError
from hive.memory.namespaces import GRAMMAR_HINT, is_namespace
from hive.node import clocks, config
from hive.node.config import NodeConfig
from hive.protocol.ports import PutMeta, PutRecord
from hive.store.lmdb_store import DATA_FILE, LmdbStore, LmdbStoreConfig
from hive.transport.addresses import parse_address
from hive.trust.envelope import parse_untrusted
from hive.trust.issuing import NodePlace, Pair
from hive.trust.keys import SEED_BYTES, Ed25519Key
from hive.trust.laptop import LaptopPlan, laptop_federation
from hive.trust.sealing import DatagramKey
from hive.wire.ids import digest

ROOT, ORG, ISSUER, NODE, DATAGRAM = "root", "org", "issuer", "node", "datagram"
AGENT_PREFIX: Final = "agent-"
SESSION_PREFIX: Final = "session-"
COMMONS: Final = "commons"
PLACE_META: Final = "place"
_SOCKET_PATH_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Home:
    """Where things lie in a node's folder."""

    path: Path

    @property
    def config_file(self) -> Path:
        """Settings."""
        return self.path / "config.toml"

    @property
    def keys(self) -> Path:
        """The keyring."""
        return self.path / "keys"

    @property
    def store(self) -> Path:
        """The LMDB store."""
        return self.path / "store"

    @property
    def recall(self) -> Path:
        """Projections; may be deleted, are rebuilt."""
        return self.path / "recall"

    @property
    def peers(self) -> Path:
        """Peers of the last run, one address a line; may be deleted or copied elsewhere."""
        return self.path / "peers"

    @property
    def leaf(self) -> Path:
        """The TLS leaf that the issuer made for the node's record."""
        return self.path / "leaf.der"

    @property
    def socket(self) -> Path:
        """The control socket; in a private temporary folder where the home's path is too long.

        Raises `StoreError` where somebody else made that folder: its name can be guessed.
        """
        direct = self.path.absolute() / "control.sock"
        if len(os.fsencode(direct)) <= _SOCKET_PATH_MAX:
            return direct
        name = digest("hive/home", os.fsencode(self.path.absolute())).hex()[:16]
        folder = Path(f"/tmp/hive-{os.getuid()}-{name}")
        _require_own(folder)
        return folder / "control.sock"

    @property
    def exists(self) -> bool:
        """Whether a node was made here."""
        return self.config_file.exists()

    def settings(self, **flags: object) -> NodeConfig:
        """The settings in force; raises `ConfigError`."""
        return config.load(self.config_file, flags=flags)

    def open_keyring(self, passphrase: Passphrase | None) -> FileKeyring:
        """The keyring; without a passphrase the unlock file beside the keys serves."""
        found = passphrase or from_unlock_file(self.keys)
        if found is None:
            raise MissingPassphrase(
                "the keyring needs its passphrase",
                hint="answer the prompt, or name an open descriptor in HIVE_PASSPHRASE_FD",
            )
        return FileKeyring(self.keys, found, clocks.entropy)

    def open_store(self, settings: NodeConfig) -> LmdbStore:
        """The store, held by this process alone."""
        bounds = LmdbStoreConfig(map_bytes_max=settings.map_bytes_max)
        return LmdbStore(self.store, bounds)

    def place(self, data: Path | None = None) -> bytes:
        """What tells this place from a copy: the machine, the file system and the file.

        `data` is a file that will be the store's; it keeps its place under another name.
        """
        status = (data or self.store / DATA_FILE).stat()
        try:
            machine = Path("/etc/machine-id").read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            machine = ""
        text = f"{machine}:{status.st_dev}:{status.st_ino}"
        return digest("hive/place", text.encode())


def _require_own(folder: Path) -> None:
    """Raises `StoreError` where a folder is there and others than we may have made or enter it."""
    try:
        status = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise StoreError(
            f"{folder} is not a folder of ours alone", hint="remove it, or use a shorter --home"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a new home is, for the person who made it."""

    path: Path
    federation: str
    name: str
    org: str
    agent: str
    namespaces: tuple[str, ...]
    custody_class: str


def make_folder(path: Path, passphrase: Passphrase | None) -> FileKeyring:
    """A new private folder with an empty keyring; refuses where a node lives already."""
    home = Home(path)
    if home.exists:
        raise StateError(
            f"{path} is a hive home already", hint="choose another with --home, or use this one"
        )
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        home.keys.mkdir(exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be made: {error.strerror}", hint="check its rights"
        ) from None
    secret = passphrase or make_unlock_file(home.keys, clocks.entropy)
    return create_keyring(home.keys, secret, clocks.entropy)


def make_pair(keyring: FileKeyring, name: str) -> Pair:
    """A new key with its successor under a name."""
    keyring.create(name, clocks.entropy(SEED_BYTES), clocks.entropy(SEED_BYTES))
    return Pair(keyring.signer(name).key, keyring.next_signer(name).public.digest)


def require_names(name: str, *namespaces: str) -> None:
    """Raises `ConfigError` where a name cannot be used."""
    for namespace in (name, *namespaces):
        if not is_namespace(namespace):
            raise ConfigError(f"{namespace!r} is not a usable name", hint=GRAMMAR_HINT)


def initialise(
    path: Path,
    *,
    name: str = "laptop",
    org_name: str = "home",
    namespaces: tuple[str, ...] = (),
    agent_name: str = "me",
    region: str = "local",
    listen: str = "127.0.0.1:7440",
    passphrase: Passphrase | None = None,
) -> Made:
    """Makes one person's federation in a new folder; nothing is left where it fails early."""
    owned = namespaces or (org_name, COMMONS)
    require_names(name, org_name, agent_name, region, *owned)
    host, port = parse_address(listen)
    keyring = make_folder(path, passphrase)
    plan = LaptopPlan(
        name=org_name,
        org_name=org_name,
        node_name=name,
        agent_name=agent_name,
        namespaces=owned,
        place=NodePlace(region, "zone-1", "cell-1"),
        custody_class=keyring.custody_class,
        root=make_pair(keyring, ROOT),
        org=make_pair(keyring, ORG),
        issuer=make_pair(keyring, ISSUER),
        node=make_pair(keyring, NODE),
        agent=make_pair(keyring, AGENT_PREFIX + agent_name),
        datagram_key=make_datagram_key(keyring),
        now_ms=clocks.read().wall_us // 1_000,
    )
    made = laptop_federation(plan)
    settings = NodeConfig(
        name=name,
        federation=made.root.id.hex(),
        agent=agent_name,
        namespace=owned[0],
        listen=host,
        udp_port=port,
        tls_port=port,
    )
    settle(Home(path), settings, made.records)
    return Made(
        path=path,
        federation=settings.federation,
        name=name,
        org=org_name,
        agent=agent_name,
        namespaces=owned,
        custody_class=keyring.custody_class,
    )


def make_datagram_key(keyring: FileKeyring) -> bytes:
    """A new X25519 key pair under `datagram`; gives the public half."""
    keyring.create(DATAGRAM, clocks.entropy(SEED_BYTES), clocks.entropy(SEED_BYTES))
    return datagram_key(keyring.signer(DATAGRAM)).public


def datagram_key(held: HeldKey) -> DatagramKey:
    """The X25519 key whose seed the keyring keeps."""
    return DatagramKey(software_key(held).seed)


def software_key(held: HeldKey) -> Ed25519Key:
    """A key whose secret is at hand: TLS and datagrams need it; raises `StateError`."""
    if not isinstance(held.key, Ed25519Key):
        raise StateError("this key is not a software Ed25519 key", hint="make the node's key anew")
    return held.key


def settle(home: Home, settings: NodeConfig, records: tuple[bytes, ...]) -> None:
    """Puts the first records into a new store, then writes the settings: the home is made."""
    with home.open_store(settings) as store:
        store.apply([PutRecord(parse_untrusted(each).id, each) for each in records])
        store.apply([PutMeta(PLACE_META, home.place())])
    config.write(home.config_file, settings)
