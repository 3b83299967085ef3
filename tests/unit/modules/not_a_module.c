/* A shared object like any other. */
int not_a_module (void);

int not_a_module (void)
{
    return 7;
}
