"""Ranks teams by the masks that each of them predicted for the same cases.

leaderboard   folders in, plain data and files out
options       the choices of a ranking
teams         evaluates the folder of each team once, and keeps what it found
groups        task, centre and sequence of each case, and which centres training has seen
times         run times of the teams
scheme        what is ranked: the columns of each scheme
values        the scores of all teams as arrays, and their means
ranks         ranks and places, ties shared
bootstrap     how places change with the cases
significance  Wilcoxon's test of each pair of teams, with Holm's correction
published     the results of CARE 2025 (care2025.csv)
board         puts it all together
files         leaderboard.csv
table         tables for the terminal
"""
