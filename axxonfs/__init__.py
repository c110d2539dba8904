"""axxonfs: the export sessions of an Axxon One server as a file system."""
