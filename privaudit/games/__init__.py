"""What is asked about the target's records; one file each."""

from __future__ import annotations

from privaudit.games.membership import Membership
from privaudit.games.property import Property
from privaudit.games.protocol import Game
from privaudit.games.public_ledger import PublicLedger
from privaudit.games.reconstruction import Reconstruction
from privaudit.games.whose import WhoseGame

GAMES: dict[str, Game] = {
    game.name: game
    for game in (Property(), Membership(), Reconstruction(), PublicLedger(), WhoseGame())
}
"""Name -> game."""
