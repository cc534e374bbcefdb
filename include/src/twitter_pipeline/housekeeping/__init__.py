"""Keep histories from growing without bound: our own records, log files, and Airflow's database."""
