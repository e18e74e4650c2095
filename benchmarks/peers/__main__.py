from ..command import command

command("peers")
