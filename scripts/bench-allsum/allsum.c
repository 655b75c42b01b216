/* The MPI side of scripts/bench-allsum.sh: allsum BYTES ROUNDS; rank 0 prints the
 * seconds of an all_sum of float32. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  int rank;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  if (argc != 3) {
    if (rank == 0) fprintf(stderr, "usage: allsum BYTES ROUNDS\n");
    MPI_Abort(MPI_COMM_WORLD, 2);
  }
  size_t bytes = strtoul(argv[1], NULL, 10);
  int rounds = atoi(argv[2]), warm = rounds / 10 > 2 ? rounds / 10 : 2;
  unsigned char *v = malloc(bytes);
  for (size_t i = 0; i < bytes; i++) v[i] = i % 4; /* small floats */
  for (int i = 0; i < warm; i++)
    MPI_Allreduce(MPI_IN_PLACE, v, bytes / 4, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  double t = MPI_Wtime();
  for (int i = 0; i < rounds; i++)
    MPI_Allreduce(MPI_IN_PLACE, v, bytes / 4, MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
  if (rank == 0) printf("seconds %.9f\n", (MPI_Wtime() - t) / rounds);
  free(v);
  MPI_Finalize();
}
