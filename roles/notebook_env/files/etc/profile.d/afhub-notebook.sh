# A terminal of a notebook is a login shell: /etc/profile has just set PATH without the programs of the notebook (jupyter, afhub).
# AFHUB_BIN is set in notebooks alone.
if [ -n "${AFHUB_BIN:-}" ]; then
  PATH=$AFHUB_BIN:$PATH
fi
