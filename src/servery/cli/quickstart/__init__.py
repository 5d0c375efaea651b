"""The quickstart: ``story`` tells it, ``corpus`` reads messages, ``training`` trains, ``load`` asks without pause."""
