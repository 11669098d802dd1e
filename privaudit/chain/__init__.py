"""The EVM client: one contract, its accounts, its journal, and the chain it lives on."""
